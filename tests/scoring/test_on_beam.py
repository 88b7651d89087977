"""The command on Beam's direct runner, in processes of its own, as users start it."""

import contextlib
import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.serving.stand_in import write_stand_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("apache_beam") is None,
        reason="Apache Beam is not installed here; `make test-beam` runs these tests.",
    ),
]

ROOT = Path(__file__).parents[2]
SHARDS = 6
DOCUMENTS = 40


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    """A SavedModel that takes about a second for a batch."""
    directory = tmp_path_factory.mktemp("slow")
    write_stand_in(directory / "1", rounds=600)
    return directory


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    write_stand_in(directory / "1")
    return directory


@pytest.fixture
def corpus(tmp_path):
    for number in range(SHARDS):
        write_shard(tmp_path / f"shard-{number}.jsonl.gz", number)
    return tmp_path


def write_shard(path, number, documents=DOCUMENTS, bad=()):
    lines = [
        "no json" if i in bad else json.dumps({"text": f"{number} " + "x" * i})
        for i in range(documents)
    ]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def command(model, folder, *options):
    return [
        *(sys.executable, "-m", "keras_combiner.cli.main", "score", "--model", str(model)),
        *("--input", str(folder / "shard-*"), "--output", str(folder / "out"), *options),
    ]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def score(model, folder, *options):
    ran = subprocess.run(
        command(model, folder, *options),
        capture_output=True,
        text=True,
        env=environment(),
        cwd=folder,
        timeout=300,
    )
    return ran


def rows(folder, kind):
    return [
        json.loads(line)
        for path in sorted((folder / "out").glob(f"*.{kind}.jsonl"))
        for line in path.read_text().splitlines()
    ]


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def assert_each_is_scored_once(folder, shards=SHARDS):
    found = [(row["file"], row["line"]) for row in rows(folder, "scores")]
    assert found == [
        (f"shard-{number}.jsonl.gz", line)
        for number in range(shards)
        for line in range(1, DOCUMENTS + 1)
    ]
    for row in rows(folder, "scores"):
        share = (row["line"] - 1 + 2) % 10 / 10  # as the stand-in has it
        assert row["probabilities"] == pytest.approx([share, 1 - share])
        assert row["label"] == ("first long" if share > 0.5 else "first short")
    assert not list((folder / "out").glob("*.tmp-*"))


def worker_ids(folder):
    """The worker processes of Beam that were started in a folder and have imported TensorFlow."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                process.name.isdigit()
                and (process / "cwd").resolve() == folder.resolve()
                and (process / "exe").resolve().name.startswith("python")
                and b"sdk_worker_main" in (process / "cmdline").read_bytes()
                and "libtensorflow" in (process / "maps").read_text()
            ):
                found.append(int(process.name))
    return found


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_several_workers_and_a_second_run_that_does_nothing(model, corpus):
    ran = score(model, corpus, "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    assert "240 documents of 6 shards are scored" in ran.stdout
    assert_each_is_scored_once(corpus)
    before = contents(corpus)
    ran = score(model, corpus)
    assert ran.returncode == 0, ran.stderr
    assert "(6 shards were finished before)" in ran.stdout
    # Another number of workers gives the same files.
    for path in (corpus / "out").iterdir():
        path.unlink()
    assert score(model, corpus).returncode == 0
    assert contents(corpus) == before


def test_relative_paths_and_a_newer_model(corpus):
    write_stand_in(corpus / "model" / "1")
    options = ("--model", "model", "--input", "shard-[01].*", "--output", "out")
    for version, skipped, label in ((1, 0, "first"), (1, 2, "first"), (2, 0, "second")):
        if version == 2:
            write_stand_in(corpus / "model" / "2", name="second")
        (corpus / "labels.txt").write_text(f"{label} long\n{label} short\n")
        ran = score("model", corpus, *options, "--labels", "labels.txt")
        assert ran.returncode == 0, ran.stderr
        assert f"80 documents of 2 shards are scored in out ({skipped} shards" in ran.stdout
        row = rows(corpus, "scores")[0]
        assert row["file"] == "shard-0.jsonl.gz" and row["label"] == f"{label} short"
        assert list(row["probabilities"]) == [f"{label} long", f"{label} short"]


def test_answers_of_two_models_are_not_mixed(model, corpus):
    assert score(model, corpus, "--input", str(corpus / "shard-[0-3]*")).returncode == 0
    before = contents(corpus)
    write_stand_in(corpus / "other" / "1", name="second")
    ran = score(corpus / "other", corpus, "--input", str(corpus / "shard-[2-5]*"))
    assert ran.returncode == 1
    assert "out holds answers of another model" in ran.stderr.splitlines()[-1]
    assert "shard-0.jsonl.gz.scores.jsonl is of a file that is not among" in ran.stderr
    assert contents(corpus) == before
    # The same model goes on, and another one may replace all that there is.
    assert score(model, corpus, "--input", str(corpus / "shard-[4-5]*")).returncode == 0
    assert_each_is_scored_once(corpus)
    assert score(corpus / "other", corpus).returncode == 0
    assert {row["label"][:6] for row in rows(corpus, "scores")} == {"second"}


def test_a_runner_that_is_named(model, corpus):
    ran = score(model, corpus, "--", "--runner=FnApiRunner")
    assert ran.returncode == 0, ran.stderr
    assert_each_is_scored_once(corpus)


def test_poisoned_shards(model, corpus):
    write_shard(corpus / "shard-2.jsonl.gz", 2, bad={5, 30})
    whole = (corpus / "shard-3.jsonl.gz").read_bytes()
    (corpus / "shard-3.jsonl.gz").write_bytes(b"no gzip")
    (corpus / "shard-6.csv").write_text("id,text\n1,one\n2\n")
    ran = score(model, corpus, "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    assert "199 documents of 7 shards" in ran.stdout and "4 bad records" in ran.stdout
    found = [(row["file"], row.get("line")) for row in rows(corpus, "bad")]
    gz, csv = "shard-2.jsonl.gz", "shard-6.csv"
    assert found == [(gz, 6), (gz, 31), ("shard-3.jsonl.gz", None), (csv, 3)]
    assert "not gzip data" in rows(corpus, "bad")[2]["reason"]
    before = contents(corpus)
    # Mended, they alone are scored again, and nothing bad is left of them.
    write_shard(corpus / "shard-2.jsonl.gz", 2)
    (corpus / "shard-3.jsonl.gz").write_bytes(whole)
    (corpus / "shard-6.csv").unlink()
    for path in (corpus / "out").glob("shard-6*"):
        path.unlink()
    ran = score(model, corpus)
    assert "(4 shards were finished before); 0 bad records" in ran.stdout
    assert_each_is_scored_once(corpus)
    after = contents(corpus)
    for number in (0, 1, 4, 5):
        name = f"shard-{number}.jsonl.gz.done.json"
        assert after[name] == before[name]


@pytest.mark.parametrize("workers", ["2", "1"])
def test_a_worker_killed_in_the_middle(slow_model, corpus, workers):
    with subprocess.Popen(
        command(slow_model, corpus, "--workers", workers),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=corpus,
    ) as process:
        if workers == "1":  # the process of the runner is the worker
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            [victim] = wait_for(lambda: [int(x) for x in children.read_text().split()])
            wait_for(lambda: "libtensorflow" in Path(f"/proc/{victim}/maps").read_text())
        else:
            victim = wait_for(lambda: worker_ids(corpus))[0]
        time.sleep(4)  # in which the model is loaded and scoring begins
        assert not list((corpus / "out").glob("*.done.json"))
        os.kill(victim, signal.SIGKILL)
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    if workers == "2":
        assert "Worker subprocess exited with return code 137" in errors
    assert "240 documents of 6 shards" in output
    assert_each_is_scored_once(corpus)
    wait_for(lambda: not worker_ids(corpus), 20)


def test_the_command_killed_and_started_again(slow_model, corpus):
    with subprocess.Popen(
        command(slow_model, corpus, "--workers", "2"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd=corpus,
    ) as process:
        wait_for(lambda: worker_ids(corpus))
        process.kill()
    wait_for(lambda: not worker_ids(corpus), 30)  # none goes on alone
    ran = score(slow_model, corpus, "--workers", "2")
    assert ran.returncode == 0, ran.stderr
    assert_each_is_scored_once(corpus)


def test_a_model_that_fails_is_an_error(corpus):
    (corpus / "model").mkdir()
    (corpus / "model" / "saved_model.pb").write_text("no SavedModel")
    ran = score(corpus / "model", corpus)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("keras-combiner: error: The pipeline failed")
    (corpus / "shard-7.txt").touch()
    ran = score(corpus / "model", corpus)
    assert "shard-7.txt: cannot tell what it holds" in ran.stderr.splitlines()[-1]
    ran = score(corpus / "nix", corpus)
    assert ran.stderr.splitlines()[-1].startswith("keras-combiner: error: There is no directory")
