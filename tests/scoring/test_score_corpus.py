import importlib
import subprocess
import sys

import pytest

from keras_combiner.cli.main import main

# The function's name hides the module's in the package.
score_corpus = importlib.import_module("keras_combiner.scoring.score_corpus")


class StandIn:
    """A shard that is finished by being run, unless it ends the worker that reads it."""

    def __init__(self, name, deadly=False):
        self.name = name
        self.deadly = deadly
        self.done = False

    def finished(self, output):
        return {"scored": 1, "bad": 0} if self.done else None


@pytest.fixture
def runs(monkeypatch):
    """The names of the shards of every run of the direct runner."""
    runs = []

    def run(shards, settings, beam_options):
        runs.append([x.name for x in shards])
        if any(x.deadly for x in shards):
            return False
        for shard in shards:
            shard.done = True
        return True

    monkeypatch.setattr(score_corpus, "run_locally", run)
    return runs


def test_a_shard_that_ends_its_worker_is_found_and_the_others_are_scored(runs):
    shards = [StandIn(str(i), deadly=i == 5) for i in range(20)]
    score_corpus._run_in_parts(shards, {"output": "out"}, 1, [])
    assert [x.name for x in shards if not x.done] == ["5"]
    assert runs.count(["5"]) == 2
    assert len(runs) <= 10


def test_a_worker_that_died_once_costs_no_shard(runs):
    shards = [StandIn(str(i)) for i in range(4)]
    shards[2].deadly = True
    run = score_corpus.run_locally

    def dies_once(part, *args):
        went_through = run(part, *args)
        shards[2].deadly = False
        return went_through

    score_corpus.run_locally = dies_once  # the fixture puts it back
    score_corpus._run_in_parts(shards, {"output": "out"}, 1, [])
    assert all(x.done for x in shards)
    assert runs == [["0", "1", "2", "3"], ["0", "1"], ["2", "3"]]


def test_without_beam_the_extra_is_named(tmp_path):
    program = (
        "import sys; sys.modules['apache_beam'] = None\n"
        "from keras_combiner.cli.main import main\n"
        "sys.exit(main(['score', '--model', 'm', '--input', 'i', '--output', 'o']))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "pip install 'keras_combiner[beam]'" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_file_of_labels_that_is_not_there(capsys):
    command = "score --model m --input i --output o --labels nix.txt"
    assert main(command.split()) == 1
    assert "nix.txt: No such file or directory" in capsys.readouterr().err
