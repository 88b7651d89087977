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
        stamp: str, what tells whether a shard has been scored as it would be now.

    Example:

    >>> Shard("in/a.jsonl", "a.jsonl", "").results("out")["scores"]
    'out/a.jsonl.scores.jsonl'
    """

    path: str
    name: str
    stamp: str

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
        """Tells what scoring this shard came to, if that is done.

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
        settings: what else results follow from, to be written as JSON.

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
    shards = []
    for file in sorted(found, key=lambda x: x.path):
        if file.path.startswith(inside):
            continue
        content = [file.size_in_bytes, file.last_updated_in_seconds, settings]
        stamp = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        shards.append(Shard(file.path, file.path.removeprefix(prefix), stamp))
    if not shards:
        raise FileNotFoundError(
            f"There is no file {pattern}. Name files of documents, as in 'shards-*.jsonl.gz'."
        )
    return shards
