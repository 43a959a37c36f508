"""The largest resident memory of a process."""

from __future__ import annotations

import resource
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak() -> int:
    """The largest resident memory of this process so far [byte].

    Linux lets ``ru_maxrss`` of a new process begin with the peak of the one that started it; VmHWM is its own.
    """
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(STATUS.read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) * 1024
