"""What a training leaves to be resumed from: by the same command, with the same options."""

import pytest

from keras_combiner.cli.training_folder import TrainingFolder


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
