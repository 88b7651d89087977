"""labels.txt and vocab.txt beside a .tflite file, held against what the file says of its model.

A file that says nothing, as older exports and other people's, is taken as its owner says.
"""

import pathlib

from wordpiece import WordPiece

# What makes a model's token ids, as the file names it: how it normalizes texts, by which rules.
_TOKENIZERS = {
    "keras_combiner>WordPieceTokenizer": ("nfkc", {"lowercase"}),
    "keras_combiner>BertTokenizer": ("bert", {"lowercase", "strip_accents"}),
}
_INSTEAD = (
    "Export a file that takes text (--input-type text) and run classify_text.py, or, where that "
    "export is refused, ask a server (keras-combiner serve)."
)


def read_labels(path, num_labels, metadata):
    """Reads the names of a model's outputs.

    Args:
        path: str, labels.txt, one label a line.
        num_labels: int, how many scores the model gives.
        metadata: dict, what the file says of its model.

    Returns:
        list of str.

    Raises:
        ValueError: If the labels are not those of the model, in its order.
    """
    lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
    labels = [line.strip() for line in lines if line.strip()]
    if len(labels) != num_labels:
        raise ValueError(
            f"{path} has {len(labels)} labels, but the model gives {num_labels} scores."
        )
    expected = metadata.get("labels") or labels
    for i, (label, other) in enumerate(zip(labels, expected, strict=True)):
        if label != other.strip():
            raise ValueError(
                f"{path} does not hold the model's labels in their order: label {i + 1} is "
                f"{label!r}, and the model's is {other!r}. Take the labels.txt that was written "
                "with the model."
            )
    return expected


def read_wordpiece(path, metadata, cased=False):
    """Makes the tokenizer that makes a model's token ids.

    Args:
        path: str, vocab.txt, one token a line.
        metadata: dict, what the file says of its model.
        cased: bool, whether its owner says that case is not folded; a file that says nothing is
            taken so.

    Returns:
        `WordPiece`.

    Raises:
        ValueError: If the tokenizer is not one of word pieces, the vocabulary is another one, or
            `cased` contradicts the file.
    """
    tokenizer = metadata.get("tokenizer")
    if tokenizer is None:
        return WordPiece(path, lowercase=not cased)
    name, config = tokenizer["registered_name"], tokenizer["config"]
    if name not in _TOKENIZERS:
        raise ValueError(
            "This example makes the token ids of WordPieceTokenizer and BertTokenizer, and the "
            f"model's are those of {name.split('>')[-1]}. {_INSTEAD}"
        )
    normalization, rules = _TOKENIZERS[name]
    if unknown := sorted(set(config) - rules):
        raise ValueError(
            f"The model's tokenizer has rules that this example does not know: "
            f"{', '.join(unknown)}. {_INSTEAD}"
        )
    if cased and config["lowercase"]:
        raise ValueError(
            "--cased contradicts the model, whose tokenizer folds case. Leave --cased out: the "
            "file says it."
        )
    wordpiece = WordPiece(path, normalization=normalization, **config)
    if wordpiece.vocabulary_crc32 != tokenizer["vocabulary_crc32"]:
        raise ValueError(
            f"{path} is not the model's vocabulary: it holds {wordpiece.vocabulary_size:,} tokens, "
            f"and the model's has {tokenizer['vocabulary_size']:,}, or others. Take the vocab.txt "
            "that was written with the model."
        )
    return wordpiece
