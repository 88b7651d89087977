"""Arguments, inputs and masks that CombinerAttention refuses, and the words."""

import keras
import numpy as np
import pytest

from keras_combiner.factorizations import Fixed
from keras_combiner.layers import CombinerAttention

X = (2, 6, 4)
WRONG_ARGUMENTS = {
    "num_heads 0": ({"num_heads": 0}, "`num_heads`.*positive integer"),
    "num_heads float": ({"num_heads": 2.0}, "`num_heads`.*positive integer"),
    "key_dim": ({"key_dim": -1}, "`key_dim`.*positive integer"),
    "value_dim": ({"value_dim": 0}, "value_dim.*positive integer"),
    "block_size 0": ({"block_size": 0}, "`block_size` must be an int of at least 1"),
    "block_size float": ({"block_size": 2.5}, "`block_size` must be an int of at least 1"),
    "plan": ({"factorization": "axial"}, "`factorization` must be one of 'fixed'.*'axial'"),
    "plan class": ({"factorization": Fixed}, "`factorization` must be one of 'fixed'"),
    "summary": ({"summary": "median"}, "`summary` must be one of 'max'.*'median'"),
    "attention_axes": ({"attention_axes": (1, 2)}, "takes no `attention_axes`.*axis 1"),
    "attention_axes 2": ({"attention_axes": 2}, "takes no `attention_axes`"),
    "shared heads 0": ({"num_key_value_heads": 0}, "int that divides `num_heads`.*heads=0"),
    "shared heads 3": ({"num_key_value_heads": 3}, "divides `num_heads`.*=3, num_heads=2"),
    "shared heads 4": ({"num_key_value_heads": 4}, "divides `num_heads`.*=4, num_heads=2"),
    "shared heads 1.0": ({"num_key_value_heads": 1.0}, "int that divides `num_heads`.*=1.0"),
    "odd rotary": ({"rotary": True, "key_dim": 5}, "`key_dim` must be even.*key_dim=5"),
    "rotary_base": ({"rotary": True, "rotary_base": 0}, "`rotary_base`.*above 0.*0"),
    "rotary_base str": ({"rotary": True, "rotary_base": "1e4"}, "`rotary_base`.*'1e4'"),
    "rotary_scaling_factor": (
        {"rotary": True, "rotary_scaling_factor": -1.0},
        "`rotary_scaling_factor`.*above 0.*-1",
    ),
    "sliding_window": ({"sliding_window": 4}, "takes no `sliding_window`.*block_size"),
    "sliding_window 1": ({"sliding_window": 1}, "takes no `sliding_window`.*block_size"),
}


@pytest.mark.parametrize(("options", "words"), WRONG_ARGUMENTS.values(), ids=WRONG_ARGUMENTS)
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        CombinerAttention(**{"num_heads": 2, "key_dim": 4, **options})


WRONG_INPUTS = {
    "cross-attention": (X, (2, 7, 4), {}, r"self-attention.*same length.*\(2, 7, 4\)"),
    "rank 4 query": ((2, 3, 6, 4), X, {}, r"\[batch, length, features\].*\(2, 3, 6, 4\)"),
    "rank 4": ((2, 3, 6, 4), (2, 3, 6, 4), {}, r"\[batch, length, features\]"),
    "rank 2": ((2, 6), (2, 6), {}, r"\[batch, length, features\]"),
    "full mask": (X, X, {"attention_mask": (2, 6, 6)}, r"quadratic cost.*use_causal_mask"),
    "mask rank 1": (X, X, {"attention_mask": (6,)}, r"\[batch, 6\] or \[batch, 1, 6\].*\(6,\)"),
    "mask rank 4": (X, X, {"attention_mask": (2, 1, 1, 6)}, r"\[batch, 1, 6\].*\(2, 1, 1, 6\)"),
    "mask length": (X, X, {"attention_mask": (2, 5)}, r"one entry a token.*\(2, 5\)"),
    "mask length 3": (X, X, {"attention_mask": (2, 1, 5)}, r"one entry a token.*\(2, 1, 5\)"),
    "query_mask": (X, X, {"query_mask": (2, 5)}, r"`query_mask`.*\[batch, 6\].*\(2, 5\)"),
    "value_mask": (X, X, {"value_mask": (2, 1, 6)}, r"`value_mask`.*\[batch, 6\]"),
    "key_mask": (X, X, {"key_mask": (6,)}, r"`key_mask`.*\[batch, 6\].*\(6,\)"),
}
wrong_inputs = pytest.mark.parametrize(
    ("query", "value", "masks", "words"), WRONG_INPUTS.values(), ids=WRONG_INPUTS
)


@wrong_inputs
def test_wrong_inputs(query, value, masks, words):
    masks = {name: np.ones(shape, bool) for name, shape in masks.items()}
    with pytest.raises(ValueError, match=f"(?s){words}"):
        CombinerAttention(2, 4)(np.ones(query), np.ones(value), **masks)


@pytest.mark.parametrize("name", ["attention_mask", "query_mask"])
def test_masks_of_another_batch_are_refused(name):
    x = np.ones((2, 6, 4))
    with pytest.raises(ValueError, match=r"one row a document: there are 2.*\(3, 6\)"):
        CombinerAttention(2, 4)(x, x, **{name: np.ones((3, 6), bool)})


@wrong_inputs
def test_wrong_inputs_are_refused_when_a_model_is_built(query, value, masks, words):
    masks = {
        name: keras.Input(batch_shape=(None, *shape[1:]), dtype="bool")
        for name, shape in masks.items()
    }
    if any(len(mask.shape) == 1 for mask in masks.values()):
        words = words.partition(".*")[0]  # the shape received reads (None,)
    query, value = (keras.Input(batch_shape=(None, *shape[1:])) for shape in (query, value))
    words = words.replace(r"\(2, ", r"\(None, ")
    with pytest.raises(ValueError, match=f"(?s){words}"):
        CombinerAttention(2, 4)(query, value, **masks)


def test_key_of_another_length():
    with pytest.raises(ValueError, match="same length"):
        CombinerAttention(2, 4)(np.ones(X), np.ones(X), np.ones((2, 5, 4)))
