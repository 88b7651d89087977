"""Keras's own tests of MultiHeadAttention, out of the installed package, run on CombinerAttention.

All texts in them are shorter than a block, so that the two layers are the same function. Layers
that a case builds for a query and a value of unequal length are built for equal ones. Everything
else runs as it is, but for these cases, which do not apply.

Inputs with more than one axis of tokens, or of another axis, which CombinerAttention refuses:
- test_high_dim_attention_4d_inputs_1freebatch_mask2: rank 4
- test_high_dim_attention_4d_inputs_1freebatch_mask3: rank 4
- test_high_dim_attention_4d_inputs_1freebatch_mask4: rank 4
- test_high_dim_attention_4d_inputs_2d_attention: rank 4
- test_high_dim_attention_5d_inputs_2d_attention: rank 5
- test_high_dim_attention_5d_inputs_2d_attention_fullmask: rank 5
- test_attention_axes_negative_indexing: rank 4
- test_causal_only_masks_non_4d_inputs: rank 4
- test_compute_output_shape_high_dim_same_proj: rank 4
- test_compute_output_shape_high_dim_different_proj: rank 4
- test_compute_output_shape_different_qv_last_dims: rank 4

Cross-attention, which CombinerAttention refuses (test_combiner_attention.py has the errors, and
the shapes that it declares):
- test_compute_output_shape_without_key_same_proj: query of length 4, value of length 2
- test_compute_output_shape_with_key_same_proj: query of length 4, value of length 2
- test_compute_output_shape_without_key_different_proj: query of length 4, value of length 2
- test_compute_output_shape_with_key_different_proj: query of length 4, value of length 2
- test_shape_mismatch_error_query_value_dim_mismatch: an error in other words
- test_shape_mismatch_error_key_value_dim_mismatch: an error in other words
- test_shape_mismatch_error_key_value_dim_mismatch_high_dim: an error in other words
- test_query_mask_propagation: query of length 5, value of length 3
- test_masking_causal: query of length 5, value of length 3
- test_masking_not_causal: query of length 5, value of length 3
- test_no_warning_with_keras_mask: query of length 5, value of length 3

Masks for each pair of positions, which CombinerAttention refuses:
- test_masking_with_different_shapes: masks `[length, length]` with more axes before them
- test_causal_only_fast_path: judged by a mask `[1, length, length]`
- test_causal_only_with_other_mask_falls_back: a mask `[batch, length, length]`
- test_causal_only_masks_when_fused_path_disabled_dropout_only: judged by such a mask

Sliding windows, which CombinerAttention refuses (that wrong ones are refused is a case that runs):
- test_sliding_window: what a window lets through
- test_sliding_window_serialization: its config

Inner workings of MultiHeadAttention that CombinerAttention does without:
- test_causal_only_skipped_for_subclass: overrides `_compute_attention`
- test_compute_attention_combines_causal_and_explicit_mask_fused_fallback: calls it
- test_compute_attention_combines_causal_and_explicit_mask_manual_path: calls it
- test_flash_attention_with_errors: errors in other words, see test_flash_attention.py
"""

import importlib
import inspect
import os
import re
import subprocess
import sys
import types
import unittest
from unittest import mock

import pytest
from keras.src import layers

from keras_combiner.layers import CombinerAttention

THEIRS = importlib.import_module("keras.src.layers.attention.multi_head_attention_test")
LISTED = set(re.findall(r"^- (test_\w+): \w", __doc__, flags=re.MULTILINE))


def cases(test_case):
    return set(unittest.TestLoader().getTestCaseNames(test_case))


# The case of LoRA names its inputs otherwise than their tensors, and reads weights without the
# state of an optimizer into a model that has one.
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning")
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
class KerasOwnSuite(THEIRS.MultiHeadAttentionTest):
    def setUp(self):
        super().setUp()
        ours = types.SimpleNamespace(**{**vars(layers), "MultiHeadAttention": CombinerAttention})
        patch = mock.patch.object(THEIRS, "layers", ours)
        patch.start()
        self.addCleanup(patch.stop)

    def run_layer_test(self, layer_class, init_kwargs, input_shape, **checks):
        assert layer_class is CombinerAttention
        batch, length, _ = input_shape["query_shape"]
        input_shape = {name: (batch, length, *shape[2:]) for name, shape in input_shape.items()}
        super().run_layer_test(layer_class, init_kwargs, input_shape, **checks)


for name in LISTED:
    setattr(KerasOwnSuite, name, None)  # hides the case of the base class


def test_every_case_is_run_or_listed():
    every = set()
    for _, test_case in inspect.getmembers(THEIRS, inspect.isclass):
        if issubclass(test_case, unittest.TestCase) and test_case.__module__ == THEIRS.__name__:
            every |= cases(test_case)
    assert cases(KerasOwnSuite) | LISTED == every


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_all_of_this_on_another_backend(backend):
    pytest.importorskip(backend)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", __file__],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
