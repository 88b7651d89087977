"""A JSON file of a checkpoint, and what it says by keys such as "model.vocab"."""

import json

REMEDY = "Fix the file, or pass `tokenizer`, such as keras_combiner.text.BertTokenizer(...)."
_MISSING = object()


class JsonFile:
    """A JSON object in a file, which may be missing.

    Args:
        path: `pathlib.Path`.
        remedy: str, what a user can do about a wrong file.

    Raises:
        ValueError: if there is something else in the file.
    """

    def __init__(self, path, remedy=REMEDY):
        self.path = path
        self._remedy = remedy
        self.content = {}
        if path.exists():
            try:
                self.content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{path} is not JSON: {error}. {remedy}") from None
        if not isinstance(self.content, dict):
            raise ValueError(f"{path} is not a JSON object. {remedy}")

    def get(self, key, default=None):
        """Returns the value of a key such as "model.vocab", or a default."""
        value = self.content
        for name in key.split("."):
            # What is null has no keys, and what is left out is as BERT has it.
            if not isinstance(value, dict) or name not in value:
                return default
            value = value[name]
        return value

    def has(self, key):
        """Says whether a key is there, be its value null."""
        return self.get(key, _MISSING) is not _MISSING

    def error(self, key, expected):
        """Returns a ValueError that says what was expected and received at a key."""
        shown = json.dumps(self.get(key), ensure_ascii=False)
        return ValueError(
            f"Expected {key} in {self.path} to be {expected}. Received: {shown[:80]}. "
            f"{self._remedy}"
        )
