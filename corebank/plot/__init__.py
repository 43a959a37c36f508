"""The pictures people expect: proxies down a core with their intervals, and a spectrum with what a model made of it.

Each function returns a Figure that belongs to no window: save it with ``figure.savefig("profile.png", dpi=200)``.
"""

from __future__ import annotations

from corebank.plot.profile import depth_profile
from corebank.plot.spectrum import LINES, reconstruction

__all__ = ["LINES", "depth_profile", "reconstruction"]
