import keras
import numpy as np
import pytest

from keras_combiner.convert import use_combiner
from keras_combiner.factorizations import Fixed, Routing, Window
from keras_combiner.layers import CombinerAttention

X = np.random.default_rng(0).normal(size=(2, 23, 8)).astype("float32")


def attention(**options):
    return keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, **options)


def model_of(*layers, length=None):
    inputs = keras.Input((length, 8))
    x = inputs
    for layer in layers:
        is_attention = isinstance(layer, keras.layers.MultiHeadAttention)
        x = layer(x, x) if is_attention else layer(x)
    return keras.Model(inputs, x)


def block():
    """A block of an ordinary transformer, with operations among the layers."""
    inputs = keras.Input((None, 8))
    x = keras.layers.LayerNormalization()(inputs)
    x = inputs + attention(value_dim=3, name="attend")(x, x)
    x = keras.ops.relu(keras.layers.Dense(8)(x)) * 2.0
    return keras.Model(inputs, x, name="block")


@pytest.mark.parametrize(
    "plan", [{"block_size": 23}, {"factorization": Fixed(32), "locality": 3.0}]
)
def test_outputs_are_those_of_the_model(plan):
    source = model_of(keras.layers.Dense(8), block(), keras.layers.Dense(3))
    model, tokenizer = use_combiner(source, **plan)
    assert tokenizer is None
    attend = model.get_layer("block").get_layer("attend")
    assert type(attend) is CombinerAttention
    np.testing.assert_allclose(model(X), source(X), atol=1e-5)
    assert [w.path for w in model.weights] == [w.path for w in source.weights]


def test_far_tokens_are_summarized_or_opened_by_default():
    source = model_of(attention())
    x = np.tile(X, (1, 20, 1))
    model, _ = use_combiner(source)
    plan = model.layers[-1].plan
    assert (plan.block_size, plan.part_size, plan.opened) == (64, 16, 8)
    assert model.layers[-1].summary == "gaussian"
    difference = np.abs(np.array(model(x)) - np.array(source(x))).max()
    assert difference > 1e-6


def test_the_source_is_left_alone_and_nothing_is_shared():
    source = model_of(attention(), keras.layers.Dense(8))
    before = np.array(source(X))
    model, _ = use_combiner(source, block_size=32)
    for weight in model.weights:
        weight.assign(weight * 0)
    np.testing.assert_array_equal(source(X), before)


def test_a_layer_used_twice_is_still_one():
    shared = attention()
    source = model_of(shared, shared)
    model, _ = use_combiner(source, block_size=32)
    assert len(model.weights) == len(source.weights) == 8
    np.testing.assert_allclose(model(X), source(X), atol=1e-5)


def test_causal_attention_and_padding_stay():
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(inputs)
    x = attention(dropout=0.1)(x, x, use_causal_mask=True)
    source = keras.Model(inputs, x)
    model, _ = use_combiner(source, block_size=32)
    ids = np.random.default_rng(0).integers(1, 20, size=(2, 23))
    ids[0, 9:] = 0
    received, expected = np.array(model(ids)), np.array(source(ids))
    np.testing.assert_allclose(received[ids != 0], expected[ids != 0], atol=1e-5)


def test_a_single_head_has_no_locality_unless_asked():
    source = model_of(keras.layers.MultiHeadAttention(1, 4), attention())
    model, _ = use_combiner(source)
    assert [x.locality for x in model.layers[1:]] == [0.0, 0.5]
    with pytest.raises(ValueError, match="a single head cannot have any"):
        use_combiner(source, locality=1.0)


def test_locality_reaches_every_layer():
    source = model_of(attention(), attention())
    model, _ = use_combiner(source, "fixed", block_size=8, locality=3.0)
    assert [x.locality for x in model.layers[1:]] == [3.0, 3.0]
    plain, _ = use_combiner(source, "fixed", block_size=8)
    assert [x.locality for x in plain.layers[1:]] == [0.5, 0.5]
    assert np.abs(np.array(model(X)) - np.array(plain(X))).max() > 1e-4
    with pytest.raises(ValueError, match="`locality` must be a number from 0"):
        use_combiner(source, locality=-1)


def test_plans_by_layer():
    shared = attention(name="shared")
    source = model_of(attention(name="first"), block(), shared, shared)
    plans = [Window(4), Fixed(8), Fixed(4, opened=1)]
    model, _ = use_combiner(source, plans)
    first, nested, last = (
        model.get_layer("first"),
        model.get_layer("block").get_layer("attend"),
        model.get_layer("shared"),
    )
    assert [x.plan for x in (first, nested, last)] == plans
    x = first(X, X)
    np.testing.assert_allclose(
        model(X), last(*[last(*[model.get_layer("block")(x)] * 2)] * 2), atol=1e-6
    )
    for wrong in (plans[:2], [*plans, "fixed"]):
        with pytest.raises(ValueError, match="one plan for each layer, 3 in all"):
            use_combiner(source, wrong)


def test_plans_with_weights_of_their_own():
    source = model_of(attention(name="attend"))
    model, _ = use_combiner(source, Routing(8, num_clusters=4))
    assert len(model.weights) > len(source.weights)
    kernel = model.get_layer("attend").query_dense.kernel
    np.testing.assert_array_equal(kernel, source.get_layer("attend").query_dense.kernel)


def test_saved_and_loaded(tmp_path):
    source = model_of(attention(), keras.layers.Dense(8))
    model, _ = use_combiner(source, block_size=8)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(X), model(X), atol=1e-6)


@pytest.mark.slow
def test_it_learns_on():
    source = model_of(attention(), keras.layers.Dense(1))
    model, _ = use_combiner(source, block_size=8)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.fit(X, X[:, :, :1], epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def cross_attention():
    query, value = keras.Input((None, 8)), keras.Input((None, 8))
    return keras.Model([query, value], attention()(query, value))


def full_mask():
    inputs, mask = keras.Input((10, 8)), keras.Input((10, 10), dtype="bool")
    return keras.Model([inputs, mask], attention()(inputs, inputs, attention_mask=mask))


@keras.saving.register_keras_serializable(package="test_functional")
class Block(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attend = attention()

    def build(self, shape):
        self.attend.build(shape, shape)

    def call(self, x):
        return self.attend(x, x)


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (cross_attention, ValueError, "attends from one tensor to another"),
        (full_mask, ValueError, "would bring back the quadratic cost"),
        (lambda: model_of(Block()), ValueError, "has an attention of its own inside"),
        (lambda: model_of(keras.layers.Dense(3)), ValueError, "has no MultiHeadAttention"),
        (Subclassed, TypeError, "Expected a functional or Sequential Keras model"),
        (lambda: keras.layers.Dense(3), TypeError, "or a Keras 3 model. Received: Dense"),
        (lambda: model_of(attention(sliding_window=4)), ValueError, "no `sliding_window`"),
    ],
)
def test_what_it_refuses(make, error, words):
    with pytest.raises(error, match=words):
        use_combiner(make())


def test_options_it_does_not_have():
    source = model_of(attention())
    with pytest.raises(TypeError, match="has no option block_sise"):
        use_combiner(source, block_sise=8)
    with pytest.raises(TypeError, match="dropout: only a CombinerBackbone has these"):
        use_combiner(source, dropout=0.5)
    with pytest.raises(ValueError, match="`factorization` must be one of"):
        use_combiner(source, "axial")
    with pytest.raises(TypeError, match="Expected `tokenizer` to be"):
        use_combiner(source, tokenizer=3)
