"""Raw scanner files -> counts by channel and the settings they were measured with.

`survey` finds every scan series below a folder and `read_scan` reads one, whatever scanner wrote it: the format is
told by the bytes, never by the ending (``.spe`` alone is several vendors' formats, and Itrax spectra hide in ``.txt``).
`read` reads a single spectrum file. All return counts exactly as the files hold them, on detector channels.

The names below are imported when they are first used: a worker that parses files needs none of what they import, and
starts in a quarter of the time without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corebank.readers.blocks import FORMATS
    from corebank.readers.folder import (
        Scan,
        Survey,
        peek,
        read,
        read_scan,
        read_scans,
        scans,
        shortlist,
        survey,
    )
    from corebank.readers.reading import Reading
    from corebank.readers.series import Note
    from corebank.readers.spectrum import Spectrum

_HOMES = {"FORMATS": "blocks", "Note": "series", "Reading": "reading", "Spectrum": "spectrum"}
"""Name -> the module it comes from; all others come from ``folder``."""

__all__ = [
    "FORMATS", "Note", "Reading", "Scan", "Spectrum", "Survey", "peek", "read", "read_scan", "read_scans", "scans",
    "shortlist", "survey",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'folder')}"), name)
