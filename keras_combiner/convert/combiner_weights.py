"""Backbones of this package as a source: an earlier pretraining, or a trained classifier."""

import dataclasses
import tempfile
from pathlib import Path

import keras

from keras_combiner import factorizations
from keras_combiner.backbones import CombinerBackbone
from keras_combiner.convert.positions import check_method, extend_positions
from keras_combiner.keras_files import load_model

MODEL_FILE = "model.keras"
# Arguments that may bring weights of their own.
_PLAN = ("factorization", "summary")


@dataclasses.dataclass
class CombinerWeights:
    """The weights of a `CombinerBackbone`, for a new one that reads longer documents.

    Attributes:
        backbone: `CombinerBackbone`.
        pad_token_id: int, 0.
    """

    backbone: CombinerBackbone
    pad_token_id: int = 0

    @property
    def local_plans(self):
        """list, for each layer its plan if that covers near tokens only, or None; or empty."""
        arguments = self.backbone.arguments
        if not isinstance(arguments["factorization"], list):
            return []
        # A name stands for a window of the size that the model has, whatever a new one has.
        plans = [factorizations.get(x, arguments["block_size"]) for x in arguments["factorization"]]
        return [None if x.covers_all else x for x in plans]

    def to_backbone(self, sequence_length, positions, **options):
        """Builds a backbone with these weights.

        Args:
            sequence_length: int, the longest document, in tokens.
            positions: str, see `extend_positions`.
            **options: what `CombinerBackbone` takes, in place of what this one has. Weights that
                another plan or summary has of its own stay as they are initialized.

        Returns:
            `CombinerBackbone`.

        Raises:
            ValueError: if this one is quantized, and for what the backbone or `extend_positions`
                refuses.
        """
        check_method(positions)
        table = self.backbone.embedding.position_embeddings
        if table is not None:
            table = keras.ops.convert_to_numpy(table)
            table = extend_positions(table, sequence_length, positions)
        arguments = {**self.backbone.arguments, "sequence_length": sequence_length, **options}
        backbone = CombinerBackbone(**arguments)
        source_backbone = _without_lora(self.backbone)
        known = {_place(x, source_backbone): x for x in source_backbone.weights}
        for weight in backbone.weights:
            source = known.get(_place(weight, backbone))
            if table is not None and weight is backbone.embedding.position_embeddings:
                weight.assign(table)
            elif source is not None and "int" in source.dtype:
                raise ValueError(
                    "The model is quantized, and cannot be trained further. Pass the model as it "
                    "was before `quantize`."
                )
            elif source is not None and source.shape == weight.shape:
                weight.assign(source)
            elif not set(_PLAN) & set(options):
                raise ValueError(
                    f"The model has no weight {_place(weight, backbone)} of shape {weight.shape} "
                    "to start from."
                )
        return backbone


def read_combiner(path):
    """Reads a model of this package that has a backbone.

    Args:
        path: str or path of a .keras file, or of a directory that holds a model.keras.

    Returns:
        Pair `(CombinerWeights, tokenizer)`, the tokenizer None if the model has none; or None if
        there is no such file at the path.

    Raises:
        ValueError: if the file holds another model.
    """
    file = combiner_file(path)
    if file is None:
        return None
    found = as_combiner(load_model(file, compile=False))
    if found is None:
        raise ValueError(
            f"Expected {file} to hold a CombinerBackbone, or a model of keras_combiner with one, "
            "such as what `keras-combiner pretrain` writes."
        )
    return found


def combiner_file(path):
    """Returns the .keras file at a path or in a directory, a `pathlib.Path`; None without one."""
    path = Path(path)
    file = path / MODEL_FILE if path.is_dir() else path
    return file if file.suffix == ".keras" and file.is_file() else None


def as_combiner(source):
    """`(CombinerWeights, tokenizer or None)` of a model of this package; None of another."""
    backbone = getattr(source, "backbone", source)
    if not isinstance(backbone, CombinerBackbone):
        return None
    return CombinerWeights(backbone), getattr(source, "tokenizer", None)


def _without_lora(backbone):
    """The backbone, or a copy in whose kernels is what LoRA adds to them."""
    if not any(getattr(x, "lora_enabled", False) for x in backbone._flatten_layers()):
        return backbone
    copy = CombinerBackbone.from_config(backbone.get_config())
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "copy.weights.h5")  # files hold the sums
        backbone.save_weights(weights)
        copy.load_weights(weights)
    return copy


def _place(weight, backbone):
    """Where a weight stands in its backbone, whatever that is called."""
    return weight.path.removeprefix(f"{backbone.name}/")
