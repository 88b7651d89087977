"""docs/benchmarks.md: one page out of the figures that the benchmarks leave beside it."""

import contextlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path

from benchmarks import (
    quality_report,
    remat_report,
    speed_report,
    starting_points_report,
    training_report,
)
from keras_combiner.whole_files import written_whole

PARTS = {
    "speed": speed_report,
    "training": training_report,
    "remat": remat_report,
    "quality": quality_report,
    "starting_points": starting_points_report,
}


def machine():
    """The machine in words."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.split(":", 1) for line in info.read_text().splitlines())
        model = next((x[1].strip() for x in lines if x[0].startswith("model name")), model)
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )


def versions(packages):
    """The versions of those packages that are installed, a dictionary."""
    found = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def write(folder, part, figures):
    """Writes a part's figures and plot into `folder`, and the page of all parts that are there."""
    with written_whole(folder / f"{part}.json", overwrite=True) as path:
        path.write_text(json.dumps(figures, indent=1) + "\n")
    figures = json.loads((folder / f"{part}.json").read_text())  # keys are str now
    with written_whole(folder / f"{part}.png", overwrite=True) as path:
        PARTS[part].plot(figures, path)
    text = page(folder)
    with written_whole(folder / "benchmarks.md", overwrite=True) as path:
        path.write_text(text)
    print(text)


def page(folder):
    """docs/benchmarks.md as a str."""
    lines = ["# Benchmarks", ""]
    lines += ["Every figure on this page is written by the command that its section names.", ""]
    for part, module in PARTS.items():
        path = folder / f"{part}.json"
        if path.exists():
            lines += module.section(json.loads(path.read_text()))
    return "\n".join(lines).rstrip("\n") + "\n"
