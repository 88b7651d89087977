"""README is run as it stands: its Python, its command lines, and its figures against the report."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.common.tables import mean_and_spread
from benchmarks.deploy_report import page as deploy_page
from benchmarks.deploy_report import targets
from benchmarks.deploy_report.length import FULL, FULL_WITHOUT_MASK
from benchmarks.quality import rows as quality_rows
from benchmarks.speed import page as speed_page
from benchmarks.starting_points.rows import SCRATCH
from keras_combiner import LongDocumentClassifier
from keras_combiner.cli.main import main
from keras_combiner.datasets import read_documents
from keras_combiner.models import SIZES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(README.split())  # its prose without the ends of lines
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [
    line
    for language, code in BLOCKS
    if language == ""
    for line in code.splitlines()
    if line.startswith(("keras-combiner", "python"))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory as README assumes it: documents, and the clone's examples and models."""
    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    words = {"good": ["bright", "warm", "clear", "swift"], "bad": ["dull", "cold", "muddy", "slow"]}

    def write(name, count):
        with open(folder / name, "w") as file:
            for i in range(count):
                label = ("good", "bad")[i % 2]
                text = " ".join(rng.choice([*words[label], "and", "very", "the"], size=60))
                file.write(json.dumps({"text": text, "label": label}) + "\n")

    write("reviews.jsonl", 16)
    write("test.jsonl", 8)
    (folder / "document.txt").write_text("The Union is at peace with all the world. " * 100)
    (folder / "other.txt").write_text("very bright and very clear")
    (folder / "saved_models").mkdir()
    (folder / "saved_models" / "sotu_era").symlink_to(ROOT / "saved_models" / "sotu_era")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.fixture(scope="module")
def small_model(folder):
    """A file of a model that exports take half of the time for: what they do is the same."""
    documents = list(read_documents(folder / "reviews.jsonl"))
    model = LongDocumentClassifier.from_texts(
        [x.text for x in documents],
        [x.label for x in documents],
        sequence_length=64,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=16,
        block_size=8,
        verbose=False,
    )
    model.save(folder / "small.keras")
    return folder / "small.keras"


@pytest.fixture
def small_sizes(monkeypatch):
    """Models that name a size, or none, are smaller than it: what is done with them is the same."""
    small = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 16}
    for name in SIZES:
        monkeypatch.setitem(SIZES, name, small)


@pytest.mark.usefixtures("eager", "small_sizes")
def test_the_python_of_the_readme_runs_in_order(folder, small_model, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    for code in PYTHON:
        if code.startswith("classifier.export_saved_model"):
            names["classifier"] = LongDocumentClassifier.load(small_model)
        exec(compile(code, "README.md", "exec"), names)
    x = np.random.default_rng(0).normal(size=(1, 4096, 128)).astype("float32")
    assert names["combiner"](x, x).shape == (1, 4096, 128)
    assert names["classifier"].classify(["bright warm"])[0]["label"] in ("good", "bad")
    assert (folder / "saved_models/my_model/1/saved_model.pb").exists()
    assert (folder / "my_model.tflite").stat().st_size > 0


@pytest.mark.usefixtures("eager", "small_sizes")
def test_the_commands_of_the_readme_run_in_order(folder, small_model, monkeypatch):
    monkeypatch.chdir(folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    assert len(COMMANDS) == 11
    exports = [x for x in COMMANDS if x.startswith("keras-combiner export")]
    for command in COMMANDS:
        program, *arguments = command.split()
        if command == exports[0]:
            shutil.copy(small_model, folder / "runs/a/model.keras")
        # A process takes seconds to start: one with its pipes shows that commands run by
        # themselves, from the model of another process on.
        if program == "keras-combiner" and "<" not in arguments:
            assert main(arguments) == 0, command
            continue
        if program == "python":
            with pytest.raises(SystemExit) as done, monkeypatch.context() as patch:
                patch.setattr(sys, "argv", arguments)
                runpy.run_path(arguments[0], run_name="__main__")
            assert not done.value.code, command
            continue
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (folder / "out/1/saved_model.pb").exists()
    assert len(json.loads((folder / "out/report.json").read_text())) == 1
    assert (folder / "serving/my_model/1/saved_model.pb").exists()


def test_the_figures_of_the_readme_are_those_of_the_report():
    report = json.loads((ROOT / "saved_models/sotu_era/report.json").read_text())
    rows = re.findall(r"^\| (.+?) \| ([0-9.]+) \| (?:(\d+) s)? ?\|", README, flags=re.MULTILINE)
    seconds = {name: f"{value:.0f}" for name, value in report["training_seconds"].items()}
    assert rows == [
        (name, f"{value:.3f}", seconds.get(name, ""))
        for name, value in report["test_accuracy"].items()
    ]
    size, latency = re.search(r"has ([0-9.]+) MB and takes (\d+) ms", README).groups()
    assert float(size) == round(report["litert"]["bytes"] / 1e6, 2)
    assert int(latency) == round(report["litert"]["median_milliseconds"])


def test_the_speeds_of_the_readme_are_those_of_the_benchmark():
    figures = json.loads((ROOT / "docs/speed.json").read_text())
    header, rows = re.search(
        r"^\| tokens \| (.+) \|\n\|[- |]+\|\n((?:\|.+\|\n)+)", README, flags=re.MULTILINE
    ).groups()
    lengths = [int(x.replace(",", "")) for x in header.split(" | ")]
    found = dict(re.findall(r"^\| (.+?) \| (.+) \|$", rows, flags=re.MULTILINE))
    assert found == {
        name: " | ".join(
            f"{ratios[length]:.1f}x" if length in ratios else "no memory" for length in lengths
        )
        for name, ratios in speed_page.headlines(figures).items()
    }


def test_the_exports_of_the_readme_are_those_of_the_report():
    figures = json.loads((ROOT / "docs/deployment.json").read_text())
    header, rows = re.search(
        r"^\| export \| (.+) \|\n\|[- |]+\|\n((?:\|.+\|\n)+)", README, flags=re.MULTILINE
    ).groups()
    assert tuple(header.split(" | ")) == deploy_page.README_COLUMNS
    found = re.findall(r"^\| (.+?) \| (.+) \|$", rows, flags=re.MULTILINE)
    assert {name: cells.split(" | ") for name, cells in found} == deploy_page.readme_rows(figures)
    met = [is_met for *_, is_met in targets.targets(figures)]
    assert f"{sum(met)} of {len(met)} targets" in README
    masked, bare = (f"{targets.times_combiner(figures, x):.1f}x" for x in (FULL, FULL_WITHOUT_MASK))
    assert f"There it is {masked} as fast as" in WORDS
    assert f"mask of padding, {bare} as one without." in WORDS


def test_the_quality_of_the_readme_is_that_of_the_benchmark():
    figures = json.loads((ROOT / "docs/quality.json").read_text())
    rows = figures["rows"]
    share = np.mean(rows["sotu_era"][quality_rows.FULL]["share"])
    assert f"got through {share:.0%} of its steps" in WORDS
    tfidf, default = (
        np.mean(rows["brown_genre"][x]["accuracy"])
        for x in (quality_rows.TFIDF, quality_rows.DEFAULT)
    )
    assert f"on Brown, by {100 * (tfidf - default):.0f} points, above the default" in WORDS


def test_the_spread_of_the_readme_is_that_of_the_benchmark():
    runs = json.loads((ROOT / "docs/starting_points.json").read_text())["rows"][SCRATCH]
    accuracy = mean_and_spread([run["accuracy"] for run in runs])
    assert f"the same recipe ends at {accuracy} [over three seeds]" in WORDS
    assert len(runs) == 3
