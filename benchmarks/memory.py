"""How much memory this process takes. Standard library only."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def start_peak() -> int:
    """Give back what is free, and measure the peak from here on; resident bytes now.

    On Linux (https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html); elsewhere the peak is
    that of the whole life of the process.
    """
    gc.collect()
    if not _STATUS.exists():
        return peak()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _CLEAR.write_text("5")
    return _bytes_of("VmRSS")


def peak() -> int:
    """The most bytes that were resident since ``start_peak``."""
    if _STATUS.exists():
        return _bytes_of("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _bytes_of(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(f"the kernel does not tell it. field={field}")
