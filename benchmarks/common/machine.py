"""Where figures were measured: the day, the machine and the versions of what was run."""

import contextlib
import datetime
import os
import platform
from importlib import metadata
from pathlib import Path


def machine():
    """Returns the machine in words."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.split(":", 1) for line in info.read_text().splitlines())
        model = next((x[1].strip() for x in lines if x[0].startswith("model name")), model)
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )


def versions(packages):
    """Returns the versions of those packages that are installed, a dictionary by name."""
    found = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def provenance(packages):
    """Returns what every file of figures begins with: "date", "machine" and "versions"."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(packages),
    }
