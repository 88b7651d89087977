"""Figures and pages on disk: each file is there whole or not at all."""

import json
from pathlib import Path

from keras_combiner.atomic_files import atomic_write

ROOT = Path(__file__).resolve().parents[2]
DOCS, BUILD = ROOT / "docs", ROOT / "build"


def read_json(path):
    """Returns what a JSON file holds."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_json(path, value):
    """Writes `value` (whatever JSON can hold) and returns it as `read_json` does: keys are str."""
    write_text(path, json.dumps(value, indent=1) + "\n")
    return read_json(path)


def write_text(path, text):
    """Writes a text file, or replaces it."""
    with atomic_write(path, overwrite=True) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
