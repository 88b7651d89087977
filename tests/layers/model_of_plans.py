"""A model with a layer a plan and all layers of heads, trained alike on every backend."""

import keras
import numpy as np

from keras_combiner.factorizations.summaries import SUMMARIES
from keras_combiner.layers import (
    BagOfTokens,
    CombinerEncoder,
    DensePerLabel,
    LabelAttentionPooling,
    MaskedAveragePooling,
    TokenAndPositionEmbedding,
)

LENGTH, WORDS = 13, 20
# Every second layer has the other options of a block.
MODERN = {
    "use_causal_mask": True,
    "rotary": True,
    "use_bias": False,
    "use_gated_activation": True,
    "normalization": "rms_norm",
}


def build(plans):
    """Both directions and all summaries occur, one a layer; no dropout, whose seeds differ."""
    token_ids = x = keras.Input((LENGTH,), dtype="int32")
    x = TokenAndPositionEmbedding(WORDS, LENGTH, 8)(x)
    for index, plan in enumerate(plans):
        x = CombinerEncoder(
            2,
            16,
            factorization=plan,
            block_size=4,
            summary=SUMMARIES[index % len(SUMMARIES)],
            **(MODERN if index % 2 else {}),
        )(x)
    average = keras.layers.Dense(3)(MaskedAveragePooling()(x))
    by_label = DensePerLabel(3)(LabelAttentionPooling(3, "glorot_uniform")(x))
    bag = BagOfTokens(WORDS, 3, "uniform")(token_ids)
    return keras.Model(token_ids, keras.layers.Add()([average, by_label, bag]))


def token_ids():
    """int32 [6, T]: whole, padded at the right and all padding."""
    ids = np.random.default_rng(0).integers(1, WORDS, size=(6, LENGTH), dtype="int32")
    ids[3] *= np.arange(LENGTH) < 9
    ids[4] *= np.arange(LENGTH) < 1
    ids[5] = 0
    return ids


def use(path):
    """Loads the model at `path`: its outputs, then losses, outputs and weights of training."""
    model = keras.models.load_model(path)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss)
    before = model.predict(token_ids(), verbose=0)
    labels = np.array([0, 1, 2, 0, 1, 2])
    history = model.fit(token_ids(), labels, batch_size=3, epochs=2, shuffle=False, verbose=0)
    return {
        "outputs": before,
        "losses": np.array(history.history["loss"]),
        "outputs after training": model.predict(token_ids(), verbose=0),
        **{f"{i} {x.path}": keras.ops.convert_to_numpy(x) for i, x in enumerate(model.weights)},
    }
