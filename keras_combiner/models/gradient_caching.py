"""cached_gradients: the gradients of a loss over a batch of which a part fits into memory."""

import keras
import tensorflow as tf

from keras_combiner.layers import CombinerAttention


def cached_gradients(model, token_ids, loss_of, mini_batch_size):
    """Computes a loss of the outputs for all rows together, and its gradients, in mini-batches.

    Every mini-batch is computed twice. First all outputs are computed, without what their gradients
    need; the loss is a function of these, and so are its gradients with respect to them. Then each
    mini-batch is computed again, with the same dropout, and passes on the gradients of its outputs.
    The result is that of one large batch (but for rounding, and for dropout, which draws other
    numbers), with the memory of a mini-batch.

    Rows of similar lengths share a mini-batch, which is cut to the longest of them.

    Args:
        model: `keras.Model` from token ids `[rows, length]`, 0 for padding at the end, to outputs
            `[rows, features]`.
        token_ids: int tensor `[rows, length]`.
        loss_of: function of outputs `[rows, features]` that returns a scalar, what is
            differentiated.
        mini_batch_size: int, rows that are computed at once.

    Returns:
        pair: float tensor `[rows, features]`, the outputs; and list of float tensors, the gradient
        of each of `model.trainable_weights`.

    Reference:
        Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021,
        https://arxiv.org/abs/2101.06983.
    """
    batches = _MiniBatches(token_ids, mini_batch_size, trims=model.input_shape[1] is None)
    seeds = _Seeds(model)

    def embed(i, states, outputs):
        states = states.write(i, seeds.values())
        places, ids = batches.at(i)
        part = tf.cast(model(ids, training=True), outputs.dtype)
        return i + 1, states, tf.tensor_scatter_nd_update(outputs, places[:, tf.newaxis], part)

    features, dtype = model.output_shape[-1], model.outputs[0].dtype
    states = tf.TensorArray("int64", size=batches.count, element_shape=seeds.shape)
    outputs = tf.ensure_shape(tf.zeros([tf.shape(token_ids)[0], features], dtype), [None, features])
    _, states, outputs = tf.while_loop(
        lambda i, *_: i < batches.count, embed, (0, states, outputs), parallel_iterations=1
    )
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = loss_of(outputs)
    of_outputs = tape.gradient(loss, outputs)
    weights = [x.value for x in model.trainable_weights]

    def backpropagate(i, gradients):
        seeds.assign(states.read(i))
        places, ids = batches.at(i)
        with tf.GradientTape() as tape:
            part = tf.cast(model(ids, training=True), dtype)
        of_part = tape.gradient(
            part,
            weights,
            output_gradients=tf.gather(of_outputs, places),
            unconnected_gradients="zero",
        )
        return i + 1, [x + tf.convert_to_tensor(y) for x, y in zip(gradients, of_part, strict=True)]

    _, gradients = tf.while_loop(
        lambda i, *_: i < batches.count,
        backpropagate,
        (0, _of_penalties(model, weights)),
        parallel_iterations=1,
    )
    return outputs, gradients


def check_caching(model, is_compiled_by_xla=False):
    """Raises a ValueError for a model or a backend that mini-batches do not go with.

    Args:
        model: `keras.Model` with layers of this package.
        is_compiled_by_xla: bool, whether steps of training are compiled by XLA.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`mini_batch_size` needs the TensorFlow backend of Keras. Received: "
            f"{keras.backend.backend()}. Leave it out, and take a `batch_size` that fits."
        )
    if is_compiled_by_xla:
        raise ValueError(
            "`mini_batch_size` makes steps whose shapes XLA does not know. Compile with "
            "jit_compile=False."
        )
    for layer in model._flatten_layers():
        if isinstance(layer, CombinerAttention) and layer.plan.learns_without_gradients:
            raise ValueError(
                "`mini_batch_size` computes texts twice, and the plan "
                f"{type(layer.plan).__name__} learns from each text that it sees. Leave it out, "
                "or take another plan."
            )


def _of_penalties(model, weights):
    """The gradients of the losses that weights have by themselves, of regularizers."""
    with tf.GradientTape() as tape:
        losses = model.losses
        total = tf.add_n(losses) if losses else tf.zeros([])
    return tape.gradient(total, weights, unconnected_gradients="zero")


class _MiniBatches:
    """Rows of token ids by their length, a few at a time."""

    def __init__(self, token_ids, size, trims):
        self._token_ids, self._size, self._trims = token_ids, size, trims
        # The last id that is not 0: a tokenizer may have 0 amid a text that spells its padding.
        places = tf.range(1, tf.shape(token_ids)[1] + 1)
        self._lengths = tf.reduce_max(tf.where(token_ids != 0, places, 0), axis=1)
        self._order = tf.argsort(self._lengths, stable=True)
        self.count = -(-tf.shape(token_ids)[0] // size)

    def at(self, i):
        """Returns the places of rows, and their token ids."""
        places = self._order[i * self._size : (i + 1) * self._size]
        ids = tf.gather(self._token_ids, places)
        if self._trims:
            longest = tf.reduce_max(tf.gather(self._lengths, places))
            ids = ids[:, : tf.maximum(longest, 1)]
        return places, ids


class _Seeds:
    """The states of all seed generators of a model, which draw the same numbers again."""

    def __init__(self, model):
        generators = [y for x in model._flatten_layers() for y in x._seed_generators]
        self._states = [x.state for x in {id(x): x for x in generators}.values()]
        self.shape = [len(self._states), 2]

    def values(self):
        """Returns them, int64 `[generators, 2]`."""
        states = [tf.cast(x.value, "int64") for x in self._states]
        return tf.stack(states) if states else tf.zeros(self.shape, "int64")

    def assign(self, values):
        """Undoes `values`."""
        for state, value in zip(self._states, tf.unstack(values), strict=True):
            state.assign(keras.ops.cast(value, state.dtype))
