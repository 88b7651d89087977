"""Tokens that are found in texts before these are split into words, as special tokens are."""

import tensorflow as tf

from keras_combiner.text.byte_pair_words import WHITE_SPACE
from keras_combiner.text.tensorflow_text_ops import import_tensorflow_text

# regex_split takes a NUL for the end of a text. This byte is none that UTF-8 has.
_IN_PLACE_OF_NUL = b"\xff"
_OPTIONS = ("lstrip", "rstrip", "normalized")


class AddedTokens:
    """Finds tokens in texts, from left to right, and of several at one place the longest.

    Args:
        tokens: list of dict with "content" (str), "id" (int), "lstrip" and "rstrip" (bool: whether
            white space beside it is part of it).

    Example:

    >>> tokens = AddedTokens([{"content": "<s>", "id": 7, "lstrip": True, "rstrip": False}])
    >>> pieces, ids = tokens.split(tf.constant(["a <s>b"]))
    >>> pieces.to_list(), ids.to_list()
    ([[b'a', b' <s>', b'b']], [[-1, 7, -1]])
    """

    def __init__(self, tokens):
        # The longest first: a regular expression takes the first alternative that fits.
        tokens = sorted(tokens, key=lambda x: -len(x["content"]))
        self._contents = [x["content"] for x in tokens]
        self._ids = [x["id"] for x in tokens]
        self._pattern = "|".join(
            f"[{WHITE_SPACE}]*" * x["lstrip"]
            + _escaped(x["content"])
            + f"[{WHITE_SPACE}]*" * x["rstrip"]
            for x in tokens
        )
        stripped = [_escaped(x["content"]) for x in tokens if x["lstrip"] or x["rstrip"]]
        self._stripped = f"^[{WHITE_SPACE}]*({'|'.join(stripped)})[{WHITE_SPACE}]*$"
        self._strips = bool(stripped)

    def split(self, texts):
        """Splits texts into tokens and what stands between them.

        Args:
            texts: tf.string tensor `[batch]` of valid UTF-8.

        Returns:
            Two tf.RaggedTensor `[batch, None]`: the pieces, strings that together are the text;
            and int32, the ids of those that are tokens, -1 for others.
        """
        if not self._ids:
            pieces = tf.RaggedTensor.from_tensor(texts[:, tf.newaxis])
            return pieces, pieces.with_values(tf.fill([tf.size(texts)], -1))
        texts = tf.strings.regex_replace(texts, r"\x00", _IN_PLACE_OF_NUL)
        pieces = import_tensorflow_text().regex_split(texts, self._pattern, self._pattern)
        flat = pieces.values
        is_token = tf.strings.regex_full_match(flat, self._pattern)
        contents = tf.where(is_token, flat, "")
        if self._strips:
            contents = tf.strings.regex_replace(contents, self._stripped, r"\1", False)
        different, which = tf.unique(contents)
        # [different, tokens], both few.
        is_it = different[:, tf.newaxis] == tf.constant(self._contents)
        ids = tf.gather(tf.gather(self._ids, tf.argmax(is_it, axis=1)), which)
        flat = tf.strings.unicode_transcode(flat, "UTF-8", "UTF-8", replacement_char=0)
        return pieces.with_values(flat), pieces.with_values(tf.where(is_token, ids, -1))


def check_added_tokens(tokens, vocabulary):
    """Completes a list of added tokens, or says what is wrong with it.

    Args:
        tokens: list of str or of dict, as in `BytePairTokenizer`.
        vocabulary: list of str.

    Returns:
        List of dict with "content", "lstrip", "rstrip" and "normalized".

    Raises:
        TypeError: for a token that is neither str nor dict.
        ValueError: for a token that is not in the vocabulary, comes twice, is empty or holds a NUL;
            for other keys; if white space is a token where others take in the white space beside
            them.
    """
    complete = []
    for token in tokens:
        if not isinstance(token, (str, dict)):
            raise TypeError(f"Expected added tokens to be str or dict. Received: {token!r}.")
        options = {"content": token} if isinstance(token, str) else token
        content = options.get("content")
        unknown = sorted({*options} - {"content", *_OPTIONS})
        if unknown:
            raise ValueError(
                f"Expected an added token to have no other keys than content, {', '.join(_OPTIONS)}"
                f". Received: {', '.join(unknown)}, of {content!r}."
            )
        if not content or "\0" in content or content not in vocabulary:
            raise ValueError(
                "Expected an added token to be a token of the vocabulary, not empty and without "
                f"NUL. Received: {content!r}."
            )
        if any(content == other["content"] for other in complete):
            raise ValueError(f"Expected every added token once. Received {content!r} twice.")
        complete.append({"content": content, **{x: bool(options.get(x)) for x in _OPTIONS}})
    for taking in (x for x in complete if x["lstrip"] or x["rstrip"]):
        for other in (x["content"] for x in complete if x["normalized"] == taking["normalized"]):
            if other.strip() != other:
                raise ValueError(
                    "Expected no added token with white space at an end, since "
                    f"{taking['content']!r} takes in what is beside it. Received: {other!r}."
                )
    return complete


def _escaped(content):
    """As a regular expression of RE2, whatever the characters are."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in content)
