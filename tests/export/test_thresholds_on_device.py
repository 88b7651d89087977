"""Labels are given on a device and in a browser as the package gives them."""

import json
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from keras_combiner import tasks

ROOT = Path(__file__).parents[2]
NAMES = ["a", "b", "c"]
TASKS = (
    tasks.SingleLabel(),
    tasks.SingleLabel(threshold=0.6),
    tasks.MultiLabel(),
    tasks.MultiLabel(1.5, [0.1, 0.5, 0.7]),
)
# One row lies on a threshold, as near as float32 comes.
ROWS = np.array([[0.2, 0.5, 0.3], [0.1, 0.6, 0.7], [0.05, 0.9, 0.05], [0.0, 0.0, 1.0]], "float32")


@pytest.mark.parametrize("where", ["device", "browser"])
def test_the_same_labels_are_given(where):
    cases = [(row, task) for task in TASKS for row in ROWS]
    if where == "device":
        given = runpy.run_path(str(ROOT / "examples/on_device/thresholds.py"))["given_labels"]
        received = [given(row, task.get_config()) for row, task in cases]
    else:
        node = shutil.which("node")
        if node is None:
            pytest.skip("not run: node is not installed")
        done = subprocess.run(
            [node, Path(__file__).with_name("thresholds_in_javascript.mjs")],
            input=json.dumps([(row.tolist(), task.get_config()) for row, task in cases]),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        received = json.loads(done.stdout)
    for (row, task), places in zip(cases, received, strict=True):
        result = task.result(row, NAMES)
        expected = result.get("labels", [result.get("label")])
        assert [NAMES[i] for i in places] == [x for x in expected if x is not None]
