"""What a training leaves to be resumed from: by the same command, with the same options."""

import dataclasses
import json

import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.cli.main import build_parser, main
from keras_combiner.cli.training_folder import TrainingFolder
from keras_combiner.cli.training_result import TrainingResult
from keras_combiner.cli.training_run import TrainingRun
from keras_combiner.file_lock import FileLock


class Model:
    """Saves nothing, as if it had been."""

    def save(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def begun(path, command="train", **settings):
    folder = TrainingFolder(path, command, settings)
    folder.begin(Model())
    folder.last.touch()
    return folder


def test_the_same_training_goes_on(tmp_path):
    begun(tmp_path, epochs=2, output="a")
    folder = TrainingFolder(tmp_path, "train", {"epochs": 2, "output": "b"})
    assert folder.holds_training and not folder.is_finished
    folder.check_settings()
    folder.finish()
    assert folder.is_finished


def test_another_option_is_refused(tmp_path):
    begun(tmp_path, epochs=2)
    with pytest.raises(ValueError, match=r"another --epochs \(it was 2\)"):
        TrainingFolder(tmp_path, "train", {"epochs": 3}).check_settings()


def test_another_command_is_refused(tmp_path):
    begun(tmp_path, "pretrain", epochs=2).finish()
    with pytest.raises(ValueError, match="by `pretrain`, which `train` cannot go on with"):
        TrainingFolder(tmp_path, "train", {"epochs": 2}).check_settings()


def test_an_option_that_there_was_not_yet_is_as_if_left_out(tmp_path):
    begun(tmp_path, epochs=2)
    TrainingFolder(tmp_path, "train", {"epochs": 2, "remat": False}).check_settings()
    with pytest.raises(ValueError, match=r"another --remat \(it was None\)"):
        TrainingFolder(tmp_path, "train", {"epochs": 2, "remat": True}).check_settings()


@pytest.mark.parametrize("missing", ["command", "settings", "finished", None])
def test_settings_of_another_version_are_refused(missing, tmp_path):
    folder = begun(tmp_path, epochs=2)
    file = folder.path / "settings.json"
    kept = json.loads(file.read_text())
    kept.pop(missing, None)
    file.write_text(json.dumps(kept) if missing else "{")
    for look in (folder.check_settings, lambda: folder.is_finished):
        with pytest.raises(ValueError, match=f"settings.json.*damaged.*{missing or ''}") as caught:
            look()
        assert "Start again with --overwrite" in str(caught.value)


@pytest.mark.parametrize("command", ["train", "pretrain"])
@pytest.mark.parametrize("more", [[], ["--resume"], ["--overwrite"]])
def test_an_output_is_one_trainings(command, more, tmp_path, capsys):
    data, output = tmp_path / "texts.jsonl", tmp_path / "a"
    data.write_text('{"text": "rain", "label": "weather"}\n{"text": "king", "label": "tale"}\n')
    begun(output, command)
    lock = FileLock(output / "training.lock", "trains into it")
    lock.acquire()
    before = sorted((x, x.stat().st_mtime_ns) for x in output.rglob("*"))
    assert main([command, "--data", str(data), "--output", str(output), *more]) == 1
    said = capsys.readouterr()
    assert "another process trains into" in said.err and "; process " in said.err
    assert "Reading" not in said.out
    assert sorted((x, x.stat().st_mtime_ns) for x in output.rglob("*")) == before
    lock.release()


def test_a_training_that_was_faster_is_noticed(tmp_path):
    output = tmp_path / "a"
    arguments = build_parser().parse_args(["train", "--data", "b", "--output", str(output)])
    with (
        pytest.raises(FileExistsError, match="holds a training that was stopped"),
        TrainingRun(arguments) as training_run,
    ):
        assert not training_run.is_done()
        begun(output)  # by another process, while this one reads
        training_run.make_output()
    assert not (output / "training.lock").exists()
    assert TrainingFolder(output, "train", {}).holds_training


@pytest.mark.parametrize("existed", [False, True])
def test_a_training_that_fails_at_once_leaves_what_there_was(existed, tmp_path):
    output = tmp_path / "a"
    if existed:
        output.mkdir()
    arguments = build_parser().parse_args(["train", "--data", "b", "--output", str(output)])
    with pytest.raises(ZeroDivisionError), TrainingRun(arguments) as training_run:
        training_run.make_output()
        assert output.exists()
        training_run.train(LongDocumentClassifier, lambda: 1 / 0, None, None)
    assert output.exists() == existed


def test_a_result_is_that_of_the_epoch_that_is_kept():
    history = {"loss": [0.5, 0.25, 0.75], "val_loss": [3, 1, 2], "lr": []}
    result = TrainingResult(None, history, 1, 1, data={}, epochs=[], seconds=1.0, resumed_at=None)
    assert result.metrics == {"loss": 0.25, "val_loss": 1}
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.epoch = 2
