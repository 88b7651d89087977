"""use_combiner: a pretrained model in, one for long documents out."""

import os
from pathlib import Path

import keras

from keras_combiner.convert.combiner_weights import as_combiner, read_combiner
from keras_combiner.convert.conversion_plan import conversion_plan
from keras_combiner.convert.functional import swap_attention
from keras_combiner.convert.hugging_face import read_hugging_face
from keras_combiner.convert.keras_hub import BACKBONES, is_keras_hub, read_keras_hub
from keras_combiner.convert.model_garden import checkpoint_prefix, read_model_garden
from keras_combiner.convert.tokenizers import as_tokenizer

OPTIONS = ("activation", "dropout", "dtype", "name", "remat", "static_length")


def use_combiner(
    source,
    factorization=None,
    block_size=None,
    summary=None,
    sequence_length=4096,
    positions="tile",
    tokenizer=None,
    locality=None,
    **options,
):
    """Puts Combiner's attention and longer positions into a pretrained encoder.

    All weights are kept. Where a block is at least as long as the text (`block_size >= length`) the
    new model computes the same as the old one; with smaller blocks it is close without any
    training, and training adapts it further.

    Args:
        source: one of

            - a directory with a Hugging Face checkpoint of one of the families in
              docs/pretrained.md, such as ModernBERT, BERT or RoBERTa: config.json,
              model.safetensors, vocab.txt or tokenizer.json;
            - what `keras-combiner pretrain` or `train` wrote: its directory, or a .keras file; or
              a `CombinerBackbone`, or a model of this package with one;
            - a checkpoint of Model Garden's `BertEncoderV2` or `BertEncoder`: its prefix (without
              .index), or its directory;
            - KerasHub's `BertBackbone`, `RobertaBackbone` or `DistilBertBackbone`, or a task
              with one of them;
            - any other functional or Sequential Keras model with `MultiHeadAttention`, or with
              KerasHub's `TransformerEncoder`.
        factorization: str or `keras_combiner.factorizations.Factorization`, the plan of all
            layers that attend to the whole text. Layers that attend to near tokens only, as in
            ModernBERT, keep their windows, exactly (if all layers are such, as in Longformer, the
            plan takes the place of all). Or a list of these, one for each layer, from the first to
            the last (of any other Keras model: for each layer that is replaced, in the order of
            `model.layers`, those of a nested model in its place). If None, "fixed" in blocks of
            `block_size` tokens, each of which reads the first block of the text, too, and opens 8
            parts of 16 tokens (or of the largest divisor that both have), beside the windows that
            there are; of a model of this package, its own.
        block_size: see `keras_combiner.layers.CombinerAttention`. If None, 64; of a model of this
            package, its own. Without `factorization`, plans of such a model that are objects keep
            all but their `block_size`; in a list, windows stay as they are.
        summary: see `keras_combiner.layers.CombinerAttention`. If None, "gaussian"; of a model of
            this package, its own.
        sequence_length: int, the longest document, in tokens.
        positions: "tile" or "interpolate", how the position table is extended, if there is one;
            see `keras_combiner.convert.extend_positions`.
        tokenizer: a `keras_combiner.text.Tokenizer`, a tokenizer of KerasHub's with word pieces,
            or a vocabulary (list of str, or the path of a vocab.txt). If None, that of the source:
            the vocab.txt or tokenizer.json of its directory, or the tokenizer of the model or task.
        locality: see `keras_combiner.layers.CombinerAttention`. If None, 0.5 (0 where there is a
            single head, which cannot have any); of a model of this package, its own.
        **options: for the backbone, in place of what the source has: `dropout` and `activation`;
            and `dtype`, `name`, `remat`, `static_length` of `keras_combiner.CombinerBackbone`.

    Returns:
        Pair `(backbone, tokenizer)`: a `keras_combiner.CombinerBackbone` from token ids to hidden
        states, without pooler or heads; and a `keras_combiner.text.BertTokenizer` or
        `BytePairTokenizer`, as the source has word pieces or byte pairs (or what `tokenizer` is;
        None if there is no vocabulary, or one that is cut otherwise, as in CamemBERT). Padding
        is id 0: in a source where it is another id, as RoBERTa's 1, the two are swapped. For any
        other Keras model, the first of the pair is a model like the source.

    Raises:
        ImportError: if safetensors or tensorflow-text is missing and needed.
        FileNotFoundError: if there is no such directory or checkpoint.
        TypeError: for a source of another type, or an unknown option.
        ValueError: for a model that cannot be converted, or arguments out of range.

    Example:

    >>> inputs = keras.Input((None, 16))
    >>> outputs = keras.layers.MultiHeadAttention(num_heads=2, key_dim=8)(inputs, inputs)
    >>> model, _ = use_combiner(keras.Model(inputs, outputs))
    >>> type(model.layers[-1]).__name__
    'CombinerAttention'
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise TypeError(
            f"use_combiner has no option {', '.join(unknown)}. It has: {', '.join(OPTIONS)}."
        )
    weights, found = _read(source, with_tokenizer=tokenizer is None)
    plan = conversion_plan(weights, factorization, block_size, summary, locality)
    tokenizer = found if tokenizer is None else tokenizer
    if weights is None:
        if options:
            raise TypeError(
                f"{', '.join(options)}: only a CombinerBackbone has these options. The source, a "
                f"{type(source).__name__}, becomes a model like itself: leave them out."
            )
        model = swap_attention(
            _backbone(source), sequence_length=sequence_length, positions=positions, **plan
        )
        return model, as_tokenizer(tokenizer)
    tokenizer = as_tokenizer(tokenizer, weights.pad_token_id)
    backbone = weights.to_backbone(sequence_length, positions, **plan, **options)
    _check_fits(tokenizer, backbone.arguments["vocabulary_size"])
    return backbone, tokenizer


def _check_fits(tokenizer, vocabulary_size):
    """Raises a ValueError for a tokenizer with ids that the embedding does not have."""
    if tokenizer is not None and tokenizer.vocabulary_size > vocabulary_size:
        raise ValueError(
            f"The tokenizer has {tokenizer.vocabulary_size} token ids, and the model embeddings of "
            f"{vocabulary_size} only: this is not the vocabulary that it was trained with. Pass "
            "that one as `tokenizer`."
        )


def _read(source, with_tokenizer):
    """`(EncoderWeights or None, tokenizer or vocabulary or None)` of a source."""
    if isinstance(source, (str, os.PathLike)):
        return _read_path(Path(source), with_tokenizer)
    ours = as_combiner(source)
    if ours is not None:
        return ours
    backbone = _backbone(source)
    preprocessor = getattr(source, "preprocessor", None)
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if not is_keras_hub(tokenizer, "WordPieceTokenizer"):
        tokenizer = None
    if is_keras_hub(backbone, *BACKBONES):
        return read_keras_hub(backbone), tokenizer
    if isinstance(backbone, keras.Model):
        return None, tokenizer
    raise TypeError(
        "Expected the path of a checkpoint, or a Keras 3 model. Received: "
        f"{type(source).__name__}. An encoder of Model Garden's goes by way of its checkpoint: "
        "tf.train.Checkpoint(encoder=encoder).write(prefix)."
    )


def _backbone(source):
    """The backbone of a task of KerasHub's, or the model as it is."""
    return source.backbone if is_keras_hub(source, "Task") else source


def _read_path(path, with_tokenizer):
    if (path / "config.json").exists():
        return read_hugging_face(path, with_tokenizer)
    ours = read_combiner(path)
    if ours is not None:
        return ours
    prefix = checkpoint_prefix(path)
    if prefix is None:
        raise FileNotFoundError(
            "Expected a directory with a Hugging Face checkpoint (config.json, "
            "model.safetensors), or with the model.keras of a pretraining, or a TensorFlow "
            f"checkpoint. There is none at {path}."
        )
    vocabulary = Path(prefix).parent / "vocab.txt"
    return read_model_garden(prefix), vocabulary if vocabulary.exists() else None
