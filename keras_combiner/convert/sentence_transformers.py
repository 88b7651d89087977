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
_PACKAGE = "sentence_transformers."
_MODULES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
# The file of a Transformer, by its name of today and those of before.
_OF_ENCODERS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
# What it may say, besides the length that is its limit there: the states of the last layer.
_OF_ENCODER = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
}
_MODEL = "SentenceTransformer"
_OUTPUT = "sentence_embedding"
_REMEDY = "Fix the file if it is wrong; a LongDocumentEmbedder has nothing else."


@dataclasses.dataclass(frozen=True)
class SentenceTransformer:
    """What the files of a directory say besides weights and tokenizer.

    Attributes:
        encoder: `pathlib.Path`, the directory with the encoder's config.json and weights; or what
            else `use_combiner` takes.
        pooling: str, one of `POOLINGS`.
        normalize: bool, whether embeddings have length 1.
        truncate_dim: int, how many numbers of an embedding are kept; None for all.
        similarity_function: str, one of `SIMILARITIES`.
        lowercase: bool, whether the tokenizer has to make texts lower-case.
    """

    encoder: Path
    pooling: str = "mean"
    normalize: bool = False
    truncate_dim: int | None = None
    similarity_function: str = "cosine"
    lowercase: bool = False

    def check_tokenizer(self, tokenizer):
        """Raises a ValueError for a `Tokenizer` that keeps capitals where they are unknown."""
        if self.lowercase and not tokenizer.get_config().get("lowercase", False):
            raise ValueError(
                f"Expected a tokenizer that makes texts lower-case, for which the encoder in "
                f"{self.encoder} asks by do_lower_case in sentence_*_config.json. Received: a "
                f"{type(tokenizer).__name__} that keeps capitals. Set do_lower_case to false if it "
                "is wrong, or pass a `tokenizer` with lowercase=True."
            )


def is_directory_of_weights(path):
    """Says whether a path is that of such a directory, or of an encoder's weights alone."""
    return any((Path(path) / name).is_file() for name in ("config.json", MODULES))


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
    for module in normalize:
        _check_normalize(JsonFile(module / "config.json", remedy=_REMEDY))
    config = JsonFile(encoder / "config.json", remedy=_REMEDY)
    hidden_dim = config.get("hidden_size", config.get("dim"))  # the latter is DistilBERT's
    return SentenceTransformer(
        encoder,
        pooling=_read_pooling(pooling / "config.json", hidden_dim),
        normalize=bool(normalize),
        lowercase=_read_lowercase(encoder),
        **_read_settings(settings, normalize=bool(normalize)),
    )


def _folders(folder, path):
    """The directories of the modules in their order, which have to be of known types."""
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        modules = sorted(modules, key=lambda x: x["idx"])
        types = [_known(x["type"]) for x in modules]
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


def _known(name):
    """The last part of the name of a type of sentence-transformers, or all of another name."""
    return name.rpartition(".")[2] if name.startswith(_PACKAGE) else name


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


def _read_lowercase(encoder):
    """Whether the file of a Transformer asks for lower-case texts; refuses what else it asks."""
    files = [JsonFile(encoder / f"sentence_{x}_config.json", _REMEDY) for x in _OF_ENCODERS]
    file = next((x for x in files if x.content), files[0])
    for key, expected in _OF_ENCODER.items():
        if file.get(key, expected) != expected:
            raise file.error(key, json.dumps(expected))
    lowercase = file.get("do_lower_case", False)
    if not isinstance(lowercase, bool):
        raise file.error("do_lower_case", "true or false")
    return lowercase


def _check_normalize(file):
    for key in ("module_input_name", "module_output_name"):
        if file.get(key) not in (None, _OUTPUT):
            raise file.error(key, json.dumps(_OUTPUT))


def _read_settings(file, normalize):
    """What config_sentence_transformers.json says, as arguments of `SentenceTransformer`."""
    if file.get("model_type", _MODEL) != _MODEL:
        raise file.error("model_type", json.dumps(_MODEL))
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
    if truncate_dim is not None and normalize and similarity == "dot":
        # There, what is left of a vector of length 1 is shorter; here it is of length 1 again.
        raise file.error(
            "similarity_fn_name", f"cosine, beside a Normalize in {MODULES} and a truncate_dim"
        )
    return {"truncate_dim": truncate_dim, "similarity_function": similarity}


def _named(names):
    return ", ".join(names)
