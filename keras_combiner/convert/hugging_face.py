"""Weights and vocabulary out of a Hugging Face checkpoint directory."""

from pathlib import Path

from keras_combiner.convert.bert_checkpoint import BERT_TYPES, read_bert
from keras_combiner.convert.checkpoint_config import CheckpointConfig
from keras_combiner.convert.checkpoint_tensors import read_json
from keras_combiner.convert.eurobert_checkpoint import read_eurobert
from keras_combiner.convert.hugging_face_tokenizer import read_hugging_face_tokenizer
from keras_combiner.convert.modernbert_checkpoint import read_modernbert
from keras_combiner.convert.rotary_bert_checkpoint import read_gte, read_nomic

_READERS = {
    **dict.fromkeys(BERT_TYPES, read_bert),
    "modernbert": read_modernbert,
    "gte": read_gte,
    "new": read_gte,
    "nomic_bert": read_nomic,
    "eurobert": read_eurobert,
}
MODEL_TYPES = tuple(_READERS)


def read_hugging_face(folder, with_tokenizer=True):
    """Reads a checkpoint of one of `MODEL_TYPES`.

    Args:
        folder: str or path of a directory with config.json and model.safetensors (or several
            files and their model.safetensors.index.json); for the tokenizer with vocab.txt,
            tokenizer.json, or vocab.json and merges.txt; and tokenizer_config.json if it is not the
            family's usual one. Where there are several of them, they have to agree.
        with_tokenizer: bool, whether to read the tokenizer.

    Returns:
        Pair `(EncoderWeights, Tokenizer)`; None in place of the tokenizer if it was not asked for,
        if the model has no id for padding alone,
        or if `read_hugging_face_tokenizer` returns None.

    Raises:
        ImportError: if safetensors is missing.
        FileNotFoundError: if a file is missing.
        ValueError: if the model is of another family, or has parts that a backbone does not have;
            or for what `read_hugging_face_tokenizer` refuses.

    Source: the formats of https://github.com/huggingface/transformers and
    https://github.com/huggingface/safetensors.
    """
    folder = Path(folder)
    config = CheckpointConfig(folder / "config.json", read_json(folder / "config.json"))
    model_type = config.get("model_type", None)
    if model_type not in MODEL_TYPES:
        raise ValueError(
            f"Expected a checkpoint of one of {', '.join(MODEL_TYPES)}. The model_type in "
            f"{folder / 'config.json'} is {model_type!r}."
        )
    weights = _READERS[model_type](folder, config)
    # Texts would have to have an id that no file has for padding.
    if not with_tokenizer or weights.pad_token_id is None:
        return weights, None
    return weights, read_hugging_face_tokenizer(folder, weights.pad_token_id)
