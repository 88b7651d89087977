"""The plan "routing": groups of tokens whose keys are alike, wherever they stand."""

import keras
from keras import ops

from keras_combiner.factorizations import blocks, grids, precision
from keras_combiner.factorizations.factorization import Factorization, Support
from keras_combiner.factorizations.fixed import Fixed
from keras_combiner.factorizations.terms import attend, block_term, part_term
from keras_combiner.factorizations.weight_spec import WeightSpec


@keras.saving.register_keras_serializable(package="keras_combiner")
class Routing(Factorization):
    """Attends to tokens with similar keys directly, and to all others in groups as a whole.

    Per head, every token belongs to the cluster whose learned centroid has the largest cosine with
    its key. Tokens sorted by cluster and position are cut into groups of S, which then are what
    blocks are to `Fixed`. Padding belongs to a cluster after all others, so it may stand anywhere.

    A causal query sees, of all groups, the members that are not after it. No group may depend on
    later tokens, so the causal plan cuts every cluster by itself: the last group of a cluster may
    be short, and there are up to C groups more. A part then differs from query to query: it is the
    first members of a group. The pattern needs a static length. Cost, with N groups: O(T (S + N));
    the causal plan, in which every query gathers its own parts, holds O(T N D) numbers a head.

    Centroids are moving averages of the keys of their clusters: weights that training updates
    without gradients, see `updated_weights`.

    Args:
        group_size: int, S, at least 1.
        num_clusters: int, C, at least 1; near the number of groups of a typical text.
        decay: float between 0 and 1, the share of a centroid that a training step keeps.

    Raises:
        ValueError: if `group_size` or `num_clusters` is not an int of at least 1, or `decay` does
            not lie between 0 and 1.

    Example:

    >>> plan = Routing(group_size=2)
    >>> plan.support(length=5, choice=[1, 0, 1, 0, 1])[2]
    Support(direct=(0, 2), parts=((1, 3), (4,)))
    >>> plan.support(length=5, causal=True, choice=[1, 0, 1, 0, 1])[2]
    Support(direct=(0, 2), parts=((1,),))

    Source: Ren et al., NeurIPS 2021, section 4.3 (Combiner-Learnable); centroids as in Roy et al.,
    "Efficient Content-Based Sparse Attention with Routing Transformers", TACL 2021.
    """

    learns_without_gradients = True
    chooses = "clusters"

    def __init__(self, group_size=64, num_clusters=16, decay=0.99):
        blocks.check_size(
            "group_size", group_size, "the number of tokens that attend to each other directly"
        )
        blocks.check_size("num_clusters", num_clusters, "the number of learned centroids")
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 <= decay <= 1:
            raise ValueError(
                "`decay` must be a number between 0 and 1, the share of a centroid that a "
                f"training step keeps. Received: decay={decay!r}."
            )
        self.group_size = group_size
        self.num_clusters = num_clusters
        self.decay = decay

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            "group_size": self.group_size,
            "num_clusters": self.num_clusters,
            "decay": self.decay,
        }

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`.

        Args:
            length: int, number of tokens.
            causal: bool, whether a query sees only itself and the past.
            choice: sequence of `length` ints, the cluster of every token; all alike if None.
        """
        clusters = [0] * length if choice is None else [int(c) for c in choice]
        members = [[j for j in range(length) if clusters[j] == c] for c in sorted(set(clusters))]
        if not causal:
            members = [[j for cluster in members for j in cluster]]
        size = self.group_size
        groups = [x[k : k + size] for x in members for k in range(0, len(x), size)]
        supports = []
        for i in range(length):
            seen = [tuple(sorted(j for j in x if j <= i or not causal)) for x in groups]
            supports.append(
                Support(next(x for x in seen if i in x), tuple(x for x in seen if x and i not in x))
            )
        return supports

    def weight_specs(self, num_heads, key_dim, value_dim, input_dim):
        """See `Factorization.weight_specs`."""
        shape = (num_heads, self.num_clusters, key_dim)
        return {"centroids": WeightSpec(shape, "random_normal", trainable=False)}

    def updated_weights(self, weights, key, padding_mask=None):
        """Moves every centroid towards the mean of the unit-norm keys of its cluster.

        See `Factorization.updated_weights`. Centroids of clusters without tokens stay.
        """
        centroids = precision.at_least_float32(weights["centroids"])  # [H, C, D]
        dtype = precision.dtype_for(centroids)
        key = ops.normalize(ops.cast(ops.stop_gradient(key), dtype))
        member = ops.one_hot(  # [B, H, T, C]
            _nearest(key, centroids), self.num_clusters, dtype=dtype
        )
        if padding_mask is not None:
            counts = ops.cast(ops.expand_dims(ops.expand_dims(padding_mask, 1), -1), dtype)
            member = member * counts
        total = ops.sum(ops.matmul(ops.swapaxes(member, 2, 3), key), axis=0)  # [H, C, D]
        size = ops.expand_dims(ops.sum(member, axis=(0, 2)), -1)
        moved = self.decay * centroids + (1 - self.decay) * total / ops.maximum(size, 1.0)
        return {"centroids": ops.where(size > 0, moved, centroids)}

    def attend_heads(self, tokens, options, learned):
        """See `Factorization.attend_heads`.

        Tokens are laid out by groups in P >= T slots, and outputs by tokens again.
        """
        length = self.static_length(tokens.query)
        size = min(self.group_size, length)
        clusters = self._clusters(tokens.key, tokens.mask, learned.weights["centroids"])
        slots, num_groups = _slots(clusters, self.num_clusters + 1, size, options.causal)  # [G, T]
        held = _invert(slots, num_groups * size)  # [G, P], -1 where a slot is empty
        filled = ops.greater_equal(held, 0)
        held = ops.maximum(held, 0)
        in_slots = tokens._replace(mask=None).map(lambda x: blocks.take(x, held))  # [G, P, D]
        if tokens.mask is not None:
            in_slots = in_slots._replace(
                mask=ops.logical_and(filled, blocks.take(tokens.mask, held))
            )
        elif num_groups * size > length:
            in_slots = in_slots._replace(mask=filled)
        if options.causal:
            seen = _seen(slots // size, held, num_groups)  # [G, P, N]
            terms = _causal_terms(in_slots.in_blocks(size), seen, options.pooling)
        else:
            terms = Fixed(size).terms(in_slots, options, learned)
        dtype = tokens.value.dtype
        outputs, attention_scores = attend(
            terms, num_groups * size, dtype, options.dropout, options.favor
        )

        def scores_by_position():
            rows = blocks.take(attention_scores(), slots)  # [G, T, P]
            return ops.swapaxes(blocks.take(ops.swapaxes(rows, 1, 2), slots), 1, 2)

        return blocks.take(outputs, slots), scores_by_position

    def _clusters(self, key, padding_mask, centroids):
        """The cluster of every token, int `[G, T]`; C for padding."""
        num_heads = centroids.shape[0]
        heads, length, key_dim = ops.shape(key)
        key = ops.reshape(key, (heads // num_heads, num_heads, length, key_dim))
        clusters = ops.reshape(_nearest(key, centroids), (heads, length))
        if padding_mask is None:
            return clusters
        return ops.where(padding_mask, clusters, self.num_clusters)


def _nearest(key, centroids):
    """Keys `[B, H, T, D]`, centroids `[H, C, D]` -> int `[B, H, T]`, by the largest cosine."""
    dtype = precision.dtype_for(centroids)
    centroids = ops.swapaxes(ops.normalize(ops.cast(centroids, dtype)), 1, 2)  # [H, D, C]
    batch, num_heads, length, key_dim = ops.shape(key)
    # Heads first: TensorFlow's oneDNN corrupts memory where a product broadcasts over the batch.
    key = ops.transpose(ops.cast(ops.stop_gradient(key), dtype), (1, 0, 2, 3))
    cosines = ops.matmul(ops.reshape(key, (num_heads, batch * length, key_dim)), centroids)
    _, nearest = ops.top_k(cosines, 1)  # unlike argmax, Keras builds it of LiteRT's operators
    nearest = ops.reshape(nearest, (num_heads, batch, length))
    return ops.cast(ops.transpose(nearest, (1, 0, 2)), "int32")


def _slots(clusters, num_clusters, size, causal):
    """The slot of every token, int `[G, T]`, and the number of groups, an int.

    For the clusters `1 0 1 0 1` and groups of 2: `2 0 3 1 4`; causal, where no group spans two
    clusters, the same; for the clusters `1 0 1` `1 0 2`, and causal `2 0 3`.
    """
    length = clusters.shape[1]
    member = ops.cast(ops.one_hot(clusters, num_clusters), "int32")  # [G, T, C]
    sizes = ops.sum(member, axis=1)  # [G, C]
    num_groups = blocks.count(length, size)
    if causal:
        sizes = (sizes + size - 1) // size * size
        num_groups = (length + min(num_clusters, length) * (size - 1)) // size
    starts = ops.cumsum(sizes, axis=1) - sizes
    rank = ops.cumsum(member, axis=1) - 1
    slots = member * (ops.expand_dims(starts, 1) + rank)
    return ops.sum(slots, axis=-1), num_groups


def _invert(slots, num_slots):
    """int `[G, T]` -> int `[G, P]`: the token in every slot, -1 in empty ones.

    For the slots `2 0` and `P = 3`: `1 -1 0`.
    """
    heads, length = ops.shape(slots)
    flat = slots + ops.expand_dims(ops.arange(heads, dtype="int32") * num_slots, 1)
    token = ops.broadcast_to(ops.arange(1, length + 1, dtype="int32"), (heads, length))
    flat = ops.reshape(flat, (heads * length, 1))
    token = ops.scatter(flat, ops.reshape(token, (heads * length,)), (heads * num_slots,))
    return ops.reshape(token, (heads, num_slots)) - 1


def _seen(groups, tokens, num_groups):
    """How many members of every group are not after the token in a slot, int `[G, P, N]`.

    Args:
        groups: int tensor `[G, T]`, the group of every token.
        tokens: int tensor `[G, P]`, the token in every slot.
        num_groups: int, N.
    """
    members = ops.cumsum(ops.cast(ops.one_hot(groups, num_groups), "int32"), axis=1)
    return blocks.take(members, tokens)


def _causal_terms(groups, seen, pooling):
    """`terms.Term`s of queries in slots, laid out one by one: logits `[G, P, 1, C]`.

    Args:
        groups: `blocks.Tokens` in N groups of S slots, which hold their members by position.
        seen: int tensor `[G, P, N]`, how many members of every group a query sees.
        pooling: `summaries.Pooling`.
    """
    heads, num_groups, size, key_dim = ops.shape(groups.query)
    num_slots = num_groups * size

    def one_by_one(x):
        return ops.reshape(x, (ops.shape(x)[0], num_slots, 1, ops.shape(x)[3]))

    def in_groups(x):
        return ops.reshape(x, (heads, num_groups, size, ops.shape(x)[3]))

    own = block_term(groups, causal=True)
    mask = ops.broadcast_to(own.mask, (ops.shape(own.mask)[0], num_groups, size, size))
    own = own.laid_out(one_by_one, in_groups)._replace(mask=one_by_one(mask))
    if not pooling.has_parts:
        return [own]
    # One slot more, before which all members of the group stand.
    runs = grids.summarize_runs(*groups.map(_with_end), pooling)  # [G, N, S + 1, ...]
    run = ops.arange(num_groups, dtype="int32") * (size + 1) + seen  # [G, P, N]
    own_group = ops.expand_dims(ops.arange(num_slots, dtype="int32") // size, 1)
    other = ops.not_equal(own_group, ops.arange(num_groups, dtype="int32"))  # [P, N]

    def share(weights):
        local = _take_runs(runs.local_weights, run)[:, :, :, :size]  # [G, P, N, S]
        shared = ops.expand_dims(ops.squeeze(weights, 2), 3) * local
        return ops.reshape(shared, (heads, num_slots, num_slots))

    parts = part_term(
        ops.reshape(groups.query, (heads, num_slots, 1, key_dim)),
        _take_runs(runs.key, run),  # [G, P, N, D]
        _take_runs(runs.value, run),
        ops.expand_dims(ops.logical_and(_take_runs(runs.mask, run), other), 2),
        None if runs.bias is None else ops.expand_dims(_take_runs(runs.bias, run), 2),
        share,
        None if runs.variance is None else _take_runs(runs.variance, run),
    )
    return [own, parts]


def _with_end(x):
    """`[G, N, S, ...]` -> `[G, N, S + 1, ...]`, zeros (False) at the end."""
    return ops.pad(x, [[0, 0], [0, 0], [0, 1]] + [[0, 0]] * (len(x.shape) - 3))


def _take_runs(x, run):
    """`[G (or 1), N, S + 1, ...]` by int `[G, P, N]` -> `[G, P, N, ...]`, the run of every group.

    Runs are counted through all groups.
    """
    heads, num_slots, num_groups = ops.shape(run)
    _, _, size, *features = ops.shape(x)
    x = ops.broadcast_to(x, (heads, num_groups, size, *features))
    x = ops.reshape(x, (heads, num_groups * size, *features))
    x = blocks.take(x, ops.reshape(run, (heads, num_slots * num_groups)))
    return ops.reshape(x, (heads, num_slots, num_groups, *features))
