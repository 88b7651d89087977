"""Copies and clones of models."""

import copy
import json

import keras
import numpy as np
import pytest

from tests.models.ten_texts import (
    LABELS,
    TEXTS,
    make,
    make_masked_lm,
    token_ids,
)


@pytest.mark.parametrize("trained", [False, True])
def test_copies(fits, trained):
    for model, y in ((make(), LABELS), (make_masked_lm(), None)):
        if trained:
            model.fit(TEXTS, y, verbose=0)
            assert not model._compiled_by_user
        ids = token_ids(model)
        # Refused for good: what Keras makes of the layers has neither a tokenizer nor labels.
        with pytest.raises(NotImplementedError, match=r"from_config\(model\.get_config\(\)\)"):
            keras.models.clone_model(model)
        same = copy.deepcopy(model)
        assert json.dumps(same.get_config()) == json.dumps(model.get_config())
        np.testing.assert_allclose(same(ids), model(ids), atol=1e-6)
        assert not same._compiled_by_user  # which leaves it to the recipe


def test_clones_of_backbones_and_of_models_that_hold_one():
    backbone = make().backbone
    ids = np.array([[1, 2, 3, 0]])
    token_ids = keras.Input([None], dtype="int32")
    for model in (backbone, keras.Model(token_ids, backbone(token_ids))):
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        np.testing.assert_allclose(clone(ids), model(ids), atol=1e-6)
        assert {id(x) for x in clone.weights}.isdisjoint({id(x) for x in model.weights})
