"""How a directory of sentence-transformers makes a text's embedding of its tokens' states."""

import dataclasses
import json
from pathlib import Path

from keras_combiner.convert.json_file import JsonFile

MODULES = "modules.json"
SETTINGS = "config_sentence_transformers.json"
POOLINGS = ("mean", "cls", "last", "weighted_mean")
SIMILARITIES = ("cosine", "dot")

# The modes of a pooling by the names that sentence-transformers has for them, of today and before.
_MODES = {
    "mean": "mean",
    "cls": "cls",
    "lasttoken": "last",
    "weightedmean": "weighted_mean",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
}
_MODE = "pooling_mode"
_MODULES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
_OUTPUT = "sentence_embedding"
_REMEDY = "Fix the file if it is wrong; a LongDocumentEmbedder has nothing else."


@dataclasses.dataclass(frozen=True)
class SentenceTransformer:
    """What the files of a directory say besides weights and tokenizer.

    Attributes:
        encoder: `pathlib.Path`, the directory with the encoder's config.json and weights.
        pooling: str, one of `POOLINGS`.
        normalize: bool, whether embeddings have length 1.
        truncate_dim: int, how many numbers of an embedding are kept; None for all.
        similarity_function: str, one of `SIMILARITIES`.
    """

    encoder: Path
    pooling: str = "mean"
    normalize: bool = False
    truncate_dim: int | None = None
    similarity_function: str = "cosine"


def read_sentence_transformer(folder):
    """Reads modules.json, and the files of the modules that it names.

    Args:
        folder: str or path of a directory. Without a modules.json it is that of an encoder, whose
            states sentence-transformers averages.

    Returns:
        `SentenceTransformer`.

    Raises:
        FileNotFoundError: if a file that modules.json calls for is missing.
        ValueError: for a module, a pooling or a setting that a `LongDocumentEmbedder` does not
            have; the message names the file and the place in it.

    Source: the format of https://github.com/huggingface/sentence-transformers.
    """
    folder = Path(folder)
    path = folder / MODULES
    if not path.exists():
        return SentenceTransformer(folder)
    encoder, pooling, *normalize = _folders(folder, path)
    settings = JsonFile(folder / SETTINGS, remedy=_REMEDY)
    _check_encoder(JsonFile(encoder / "sentence_bert_config.json", remedy=_REMEDY), encoder)
    for module in normalize:
        _check_normalize(JsonFile(module / "config.json", remedy=_REMEDY))
    config = JsonFile(encoder / "config.json", remedy=_REMEDY)
    hidden_dim = config.get("hidden_size", config.get("dim"))  # the latter is DistilBERT's
    return SentenceTransformer(
        encoder,
        pooling=_read_pooling(pooling / "config.json", hidden_dim),
        normalize=bool(normalize),
        **_read_settings(settings),
    )


def _folders(folder, path):
    """The directories of the modules in their order, which have to be of known types."""
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        modules = sorted(modules, key=lambda x: x["idx"])
        types = [x["type"].rpartition(".")[2] for x in modules]
        paths = [folder / x["path"] for x in modules]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"Expected {path} to be a JSON list of modules, each with idx, path and type. It is "
            f"not: {type(error).__name__}: {error}."
        ) from None
    if types in _MODULES:
        return paths
    place = next(
        (i for i, x in enumerate(types) if types[: i + 1] != _MODULES[1][: i + 1]), len(types)
    )
    received = types[place] if place < len(types) else "the end of the list"
    raise ValueError(
        f"Expected the modules in {path} to be Transformer, Pooling and, or not, Normalize. "
        f"Received at [{place}]: {received}. Such a model is not supported; of its encoder alone, "
        f"{paths[0] if paths else folder}, `keras_combiner.convert.use_combiner` makes a backbone."
    )


def _read_pooling(path, hidden_dim):
    """The pooling that 1_Pooling/config.json asks for, one of `POOLINGS`."""
    if not path.exists():
        raise FileNotFoundError(f"{MODULES} calls for a pooling. There is no {path}.")
    file = JsonFile(path, remedy=_REMEDY)
    if file.get("include_prompt", True) is not True:
        raise file.error("include_prompt", "true: tokens of a prompt count like all others")
    for key in ("word_embedding_dimension", "embedding_dimension"):
        if hidden_dim is not None and file.get(key, hidden_dim) != hidden_dim:
            raise file.error(key, f"{hidden_dim}, the hidden_size of the encoder")
    if file.has(_MODE):
        modes = file.get(_MODE)
        modes = [modes] if isinstance(modes, str) else modes
        if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in _MODES:
            raise file.error(
                _MODE, f"one of {_named(('mean', 'cls', 'lasttoken', 'weightedmean'))}"
            )
        return _MODES[modes[0]]
    keys = [key for key in file.content if key.startswith(f"{_MODE}_")]
    if not keys:
        return "mean"  # as sentence-transformers has it
    chosen = [key for key in keys if file.get(key) is not False]
    for key in chosen:
        if key not in _MODES or file.get(key) is not True:
            raise file.error(key, "false: this pooling is not supported")
    if len(chosen) != 1:
        raise ValueError(
            f"Expected one of {_named(x for x in _MODES if x.startswith(_MODE))} in {path} to be "
            f"true. Received: {_named(chosen) or 'none'}."
        )
    return _MODES[chosen[0]]


def _check_encoder(file, encoder):
    """Refuses an encoder whose texts are made lower-case before a tokenizer that keeps case."""
    if not file.get("do_lower_case", False):
        return
    tokenizer = JsonFile(encoder / "tokenizer_config.json", remedy=_REMEDY)
    if tokenizer.get("do_lower_case") is not True:
        raise file.error("do_lower_case", "false, or the tokenizer's do_lower_case to be true")


def _check_normalize(file):
    for key in ("module_input_name", "module_output_name"):
        if file.get(key) not in (None, _OUTPUT):
            raise file.error(key, json.dumps(_OUTPUT))


def _read_settings(file):
    """What config_sentence_transformers.json says, as arguments of `SentenceTransformer`."""
    if file.get("default_prompt_name") is not None:
        raise file.error(
            "default_prompt_name", "null: write the prompt before the texts that need it"
        )
    truncate_dim = file.get("truncate_dim")
    is_size = isinstance(truncate_dim, int) and not isinstance(truncate_dim, bool)
    if truncate_dim is not None and not (is_size and truncate_dim > 0):
        raise file.error("truncate_dim", "an int of at least 1, or null")
    similarity = file.get("similarity_fn_name") or "cosine"
    if similarity not in SIMILARITIES:
        raise file.error("similarity_fn_name", f"one of {_named(SIMILARITIES)}")
    return {"truncate_dim": truncate_dim, "similarity_function": similarity}


def _named(names):
    return ", ".join(names)
