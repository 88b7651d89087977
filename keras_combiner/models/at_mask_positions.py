"""at_mask_positions: a batch for which only the logits of hidden tokens are computed."""

import tensorflow as tf

# Numbers of positions are rounded up to so many parts of the length: few shapes for a compiler.
_PARTS = 16


def at_mask_positions(token_ids, targets):
    """Makes a batch that says at which positions there are targets.

    Logits over a vocabulary cost more than all the rest of a small model, and only few positions
    are needed: with this batch a `CombinerMaskedLM` computes only those.

    Args:
        token_ids: int32 tensor `[batch, length]`, with masks.
        targets: int32 tensor `[batch, length]`, 0 where nothing is to be predicted.

    Returns:
        Pair of a dict, "token_ids" as they are and "mask_positions", int32 `[batch, n]`, and the
        targets there, int32 `[batch, n]`. `n` is large enough for the row that has most; the others
        are filled up with positions whose target is 0.

    Example:

    >>> inputs, targets = at_mask_positions([[2, 4, 5, 3]], [[0, 7, 0, 0]])
    >>> inputs["mask_positions"].numpy().tolist(), targets.numpy().tolist()
    ([[1]], [[7]])
    """
    targets = tf.convert_to_tensor(targets)
    is_target = tf.cast(tf.not_equal(targets, 0), tf.int32)
    length = tf.shape(targets)[1]
    step = tf.maximum(length // _PARTS, 1)
    most = tf.reduce_max(tf.reduce_sum(is_target, axis=1))
    # At least one: the mean of no loss at all is not a number.
    count = tf.minimum(tf.maximum(-(-most // step), 1) * step, length)
    positions = tf.argsort(is_target, axis=1, direction="DESCENDING", stable=True)[:, :count]
    inputs = {"token_ids": tf.convert_to_tensor(token_ids), "mask_positions": positions}
    return inputs, tf.gather(targets, positions, batch_dims=1)
