"""A step of training that replicas share: each takes some rows of the same batch."""

import tensorflow as tf

# Between the seeds of two workers, so that no two of them drop the same.
_SEEDS_APART = 1_000_003


def share(replica, num_replicas, rows):
    """Returns the rows of a batch that a replica takes.

    Args:
        replica: int, or tensor of one.
        num_replicas: int.
        rows: int, or tensor of one, in the batch.

    Returns:
        pair of its first row and the first row after its last; equal if it has none.

    Example:

    >>> [share(i, 4, 10) for i in range(4)]
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    return rows * replica // num_replicas, rows * (replica + 1) // num_replicas


def shared_step(model, strategy, worker=0):
    """Makes a step of training that equals the step of one device on the whole batch.

    The variables are those of one device, in every worker. Replicas compute the gradients of
    their rows, weighted by how many they have. The sum is the gradient of the batch; the optimizer
    gets it as if there were no replicas, so that clipping, accumulation and whatever else it does
    is that of the whole batch. Metrics see all rows too, and come out the same in every worker.

    Random layers draw different numbers in every replica. Between steps, the states of their
    generators are the same in every worker.

    Args:
        model: `keras.Model` with one output, compiled.
        strategy: `tf.distribute.Strategy`.
        worker: int, the place of this process among those of the strategy.

    Returns:
        callable of a batch (inputs, targets and, perhaps, sample weights: tensors `[batch, ...]`)
        to a dict of the metrics' results.
    """
    num_replicas = strategy.num_replicas_in_sync
    weights = model.trainable_weights
    seeds = [x for x in model.variables if x.name == "seed_generator_state"]

    def of_replica(x, y, sample_weight=None):
        replica = tf.distribute.get_replica_context()
        rows = tf.shape(y)[0]
        start, end = share(replica.replica_id_in_sync_group, num_replicas, rows)
        # A replica without rows computes one with a weight of zero: the mean of no losses is NaN.
        first = tf.minimum(start, rows - 1)
        own = slice(first, tf.maximum(end, first + 1))
        x, y = x[own], y[own]
        sample_weight = None if sample_weight is None else sample_weight[own]
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = model.compute_loss(x, y, y_pred, sample_weight, training=True)
            # Keras has divided it by the number of replicas, as if they had as many rows each.
            loss *= tf.cast(num_replicas * (end - start) / rows, loss.dtype)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, weights, unconnected_gradients="zero")
        around = [[start, rows - end], *[[0, 0]] * (y_pred.shape.rank - 1)]
        y_pred = tf.pad(y_pred[: end - start], around)
        gradients = replica.all_reduce("SUM", [tf.convert_to_tensor(x) for x in gradients])
        return replica.all_reduce("SUM", loss), replica.all_reduce("SUM", y_pred), *gradients

    def step(*batch):
        _shift(seeds, worker * _SEEDS_APART)
        summed = strategy.run(of_replica, args=batch)
        _shift(seeds, -worker * _SEEDS_APART)
        loss, y_pred, *gradients = (strategy.experimental_local_results(x)[0] for x in summed)
        model.optimizer.apply(gradients, weights)
        x, y, *sample_weight = batch
        model._loss_tracker.update_state(loss, sample_weight=tf.shape(y)[0])
        return model.compute_metrics(x, y, y_pred, *sample_weight)

    return step if model.run_eagerly else tf.function(step, reduce_retracing=True, autograph=False)


def _shift(seeds, by):
    for state in seeds if by else ():
        state.assign_add([by, 0])
