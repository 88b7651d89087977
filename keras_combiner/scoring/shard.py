"""Shard: one file of a corpus, and the files that its results are written to."""

import hashlib
import json
import re
from typing import NamedTuple

from keras_combiner.scoring.beam_import import import_beam

_MAGIC = re.compile(r"[*?\[]")


class Shard(NamedTuple):
    """One file of a corpus.

    Its results are three files in the directory of output, named for it: `NAME.scores.jsonl`,
    `NAME.bad.jsonl` if there are bad records, and last `NAME.done.json`, which says what was scored
    and that all is there.

    Args:
        path: str, where it is, on any file system that Beam knows.
        name: str, what it is called: its path below the first folder of a pattern.
        stamp: str, what shows whether a shard has been scored with the same model and options.
        model: str, what tells one model from another.

    Example:

    >>> Shard("in/a.jsonl", "a.jsonl", "", "").results("out")["scores"]
    'out/a.jsonl.scores.jsonl'
    """

    path: str
    name: str
    stamp: str
    model: str

    def results(self, output):
        """Names the files of results.

        Args:
            output: str, the directory of output.

        Returns:
            dict of "scores", "bad" and "done" to str.
        """
        start = f"{output.rstrip('/')}/{self.name}"
        return {
            "scores": f"{start}.scores.jsonl",
            "bad": f"{start}.bad.jsonl",
            "done": f"{start}.done.json",
        }

    def finished(self, output):
        """Returns the figures of scoring this shard, if that is done.

        Args:
            output: str, the directory of output.

        Returns:
            dict with "scored" and "bad", how many; None if it is to be scored, for the first time
            or because the shard, the model or an option has changed.
        """
        filesystems = import_beam().io.filesystems.FileSystems
        path = self.results(output)["done"]
        if not filesystems.exists(path):
            return None
        with filesystems.open(path) as file:
            report = json.loads(file.read())
        return report if report["stamp"] == self.stamp else None


def find_shards(pattern, output, settings):
    """Finds the files that a pattern names.

    Args:
        pattern: str, a path or a pattern of files (`*`, `?`, `[...]` and `**`).
        output: str, the directory of output, in which no shards are looked for.
        settings: dict that JSON can hold, what else results depend on: "model", what tells one
            model from another, and options.

    Returns:
        list of `Shard`, in the order of their names.

    Raises:
        FileNotFoundError: if there is none.
    """
    filesystems = import_beam().io.filesystems.FileSystems
    inside = output.rstrip("/") + "/"
    found = filesystems.match([pattern])[0].metadata_list
    # Before the first folder with a sign in it, all paths are the same.
    magic = _MAGIC.search(pattern)
    fixed = pattern[: magic.start()] if magic else pattern
    prefix = fixed[: fixed.rfind("/") + 1]
    shards, model = [], _digest(settings["model"])
    for file in sorted(found, key=lambda x: x.path):
        if file.path.startswith(inside):
            continue
        stamp = _digest([file.size_in_bytes, file.last_updated_in_seconds, settings])
        shards.append(Shard(file.path, file.path.removeprefix(prefix), stamp, model))
    if not shards:
        raise FileNotFoundError(
            f"There is no file {pattern}. Name files of documents, as in 'shards-*.jsonl.gz'."
        )
    return shards


def refuse_other_models(output, shards):
    """Refuses a directory where answers of another model would stay beside those to come.

    Those of the same shards are replaced.

    Args:
        output: str, the directory of output.
        shards: list of `Shard`, those to be scored.

    Raises:
        ValueError: if there are results of other shards by another model.
    """
    filesystems = import_beam().io.filesystems.FileSystems
    replaced = {shard.results(output)["done"] for shard in shards}
    models = {shard.model for shard in shards}
    for file in filesystems.match([f"{output.rstrip('/')}/**.done.json"])[0].metadata_list:
        if file.path in replaced:
            continue
        with filesystems.open(file.path) as content:
            model = json.loads(content.read()).get("model")
        if model is not None and model not in models:  # earlier versions do not say
            raise ValueError(
                f"{output} holds answers of another model, which would stay beside those to come: "
                f"{file.path.removesuffix('.done.json')}.scores.jsonl is of a file that is not "
                "among those to be scored now. Name another directory of output, or delete them."
            )


def _digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
