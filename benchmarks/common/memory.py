"""How much memory a process takes, and how much there is."""

import os
import re
import resource
import sys
from pathlib import Path


def status_bytes(field, process="self"):
    """Returns what Linux says of a process's memory, in bytes; None where the system does not.

    Args:
        field: str, "VmRSS" for what it holds now, "VmHWM" for the most that it has held.
        process: int or "self", its id.
    """
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    return found and int(found[1]) * 1024


def restart_peak():
    """Forgets the most that this process has held, where the system can; returns what it is now."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes():
    """Returns the most bytes that this process has held."""
    found = status_bytes("VmHWM")
    if found is None:
        unit = 1 if sys.platform == "darwin" else 1024
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return found


def available_memory():
    """Returns how many bytes a new process may take."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
