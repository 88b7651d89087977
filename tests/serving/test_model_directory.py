import logging
import time
from typing import NamedTuple

import pytest

from keras_combiner.serving.model_directory import ModelDirectory


class Version(NamedTuple):
    number: int
    said: str


def load(folder, number):
    """Stands for a version by its number and what its file says; "broken" cannot be loaded."""
    said = (folder / "saved_model.pb").read_text()
    if said == "broken":
        raise ValueError("Truncated\nfile")
    return Version(number, said)


def write(directory, number, said="good"):
    folder = directory / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_text(said)
    return folder


@pytest.fixture
def directory(tmp_path):
    write(tmp_path, 9)
    write(tmp_path, 10)
    (tmp_path / "notes").mkdir()
    directory = ModelDirectory(tmp_path, load)
    directory.load_newest()
    return directory


def test_the_greatest_number_is_served(directory):
    assert directory.served == (10, "good")
    assert not directory.refresh()


def test_a_newer_version_is_taken_up_when_its_files_have_settled(directory):
    folder = write(directory.directory, 11, "half")
    assert not directory.refresh()  # seen for the first time
    (folder / "saved_model.pb").write_text("whole")
    assert not directory.refresh()  # has changed since
    assert directory.refresh()
    assert directory.served == (11, "whole")


def test_a_broken_version_is_named_once_and_tried_again_when_it_changes(directory, caplog):
    folder = write(directory.directory, 11, "broken")
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            assert not directory.refresh()
    (line,) = caplog.messages
    assert line == f"Version 11 in {folder} is ignored: Truncated file"
    assert directory.served == (10, "good")
    write(directory.directory, 11, "mended")
    assert not directory.refresh()
    assert directory.refresh()
    assert directory.served == (11, "mended")


def test_a_folder_without_a_saved_model_is_ignored(directory, caplog):
    (directory.directory / "11").mkdir()
    for _ in range(4):
        assert not directory.refresh()
    assert caplog.text.count("it holds no saved_model.pb") == 1


def test_taking_the_newest_away_brings_the_one_before_back(directory):
    (directory.directory / "10").rename(directory.directory / "bad-10")
    assert not directory.refresh()
    assert directory.refresh()
    assert directory.served == (9, "good")


def test_what_is_served_outlives_its_files(directory, caplog):
    for number in (9, 10):
        (directory.directory / str(number)).rename(directory.directory / f"old-{number}")
    for _ in range(3):
        assert not directory.refresh()
    assert directory.served == (10, "good")
    assert caplog.text.count("holds no version any more") == 1
    assert "10 is still served" in caplog.text


def test_a_version_that_was_replaced_is_loaded_again(directory):
    write(directory.directory, 10, "other")
    assert not directory.refresh()
    assert directory.refresh()
    assert directory.served == (10, "other")


def test_a_version_that_was_replaced_by_a_broken_one_goes_on(directory):
    write(directory.directory, 10, "broken")
    for _ in range(4):
        assert not directory.refresh()
    assert directory.served == (10, "good")


def test_a_saved_model_itself(tmp_path):
    directory = ModelDirectory(write(tmp_path, "model"), load)
    directory.load_newest()
    assert directory.served == (1, "good")
    directory = ModelDirectory(write(tmp_path, 7), load)
    directory.load_newest()
    assert directory.served == (7, "good")


def test_the_newest_that_works_is_served_from_the_start(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2, "broken")
    directory = ModelDirectory(tmp_path, load)
    directory.load_newest()
    assert directory.served == (1, "good")


def test_versions_to_keep_stay_beside_the_newest(tmp_path):
    for number in (8, 9, 10):
        write(tmp_path, number)
    directory = ModelDirectory(tmp_path, load, kept=(10, 8, 8))
    directory.load_newest()
    directory.load_kept()
    assert list(directory.loaded()) == [8, 10]
    for number in (8, 9, 10):
        (tmp_path / str(number)).rename(tmp_path / f"old-{number}")
    write(tmp_path, 11)
    assert not directory.refresh() and directory.refresh()
    assert list(directory.loaded()) == [8, 10, 11] and directory.served == (11, "good")
    assert directory.is_on_disk(11) and not directory.is_on_disk(8)
    write(tmp_path, 11, "other")
    assert not directory.refresh() and directory.refresh()
    assert directory.loaded()[11] == (11, "other")


def test_a_version_that_was_replaced_stays_what_it_is_now(tmp_path):
    write(tmp_path, 3, "old")
    directory = ModelDirectory(tmp_path, load, kept=[3])
    directory.load_newest()
    directory.load_kept()
    for number, said in ((3, "other"), (4, "good")):
        write(tmp_path, number, said)
        assert not directory.refresh() and directory.refresh()
    assert directory.loaded() == {3: (3, "other"), 4: (4, "good")}


@pytest.mark.parametrize(
    ("number", "words"),
    [(7, "a version 7 in .*, which a label names. Received: 9, 10"), (9, "Truncated file")],
)
def test_a_version_to_keep_that_is_not_there(directory, number, words):
    write(directory.directory, 9, "broken")
    other = ModelDirectory(directory.directory, load, kept=[number])
    other.load_newest()
    with pytest.raises(FileNotFoundError, match=words):
        other.load_kept()


def test_nothing_to_serve(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a SavedModel's directory.*export"):
        ModelDirectory(tmp_path).load_newest()
    with pytest.raises(FileNotFoundError, match="There is no directory"):
        ModelDirectory(tmp_path / "nix").load_newest()
    write(tmp_path, 1, "broken")
    with pytest.raises(FileNotFoundError, match=r"No version in .* can be loaded"):
        ModelDirectory(tmp_path, load).load_newest()


def test_watching_survives_a_bad_look_and_ends(directory, monkeypatch, caplog):
    looks = []

    def refresh():
        looks.append(1)
        raise OSError("the disk is away")

    monkeypatch.setattr(directory, "refresh", refresh)
    directory.watch(0.01)
    end = time.monotonic() + 10
    while len(looks) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    directory.stop()
    assert len(looks) >= 3
    assert "Looking for versions" in caplog.text
