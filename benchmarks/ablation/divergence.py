"""How far the effective attention of a plan is from softmax attention."""

import math
from typing import NamedTuple

from benchmarks.ablation.rows import SUMMARIES, plan_of

RANDOM_SUMMARIES = ("none", "max", "mean", "variational", "gaussian")  # that learn nothing
DEVIATIONS = (0.5, 1.0, 1.5)  # of random queries and keys


def projected_heads(model, token_ids):
    """Returns what divergences are measured on.

    Returns:
        The queries and keys of every layer, a list of pairs `[B, H, T, D]`; the mask `[B, T]`; and
        what every layer's plan and summaries have learned, a list of dictionaries.
    """
    import keras
    import numpy as np

    from keras_combiner.layers import CombinerEncoder

    encoders = [layer for layer in model.layers if isinstance(layer, CombinerEncoder)]
    # An encoder's inputs are the vectors, then the mask.
    inputs = [keras.tree.flatten(encoder.input)[0] for encoder in encoders]
    inputs = keras.Model(model.input, inputs)
    pairs = []
    vectors = keras.tree.flatten(inputs.predict(token_ids, verbose=0))  # no list if only one
    for encoder, x in zip(encoders, vectors, strict=True):
        x = encoder.attention_norm(x)
        attention = encoder.attention
        pairs.append(
            tuple(
                np.swapaxes(np.array(projection(x)), 1, 2)
                for projection in (attention.query_dense, attention.key_dense)
            )
        )
    return pairs, token_ids != 0, [encoder.attention.plan_weights for encoder in encoders]


class Divergences(NamedTuple):
    """Means over documents, heads and queries that count, in nats.

    Attributes:
        of_effective: KL(E || p), what E attends to and softmax attention p does not.
        of_softmax: KL(p || E), what p attends to and E does not; infinite if E leaves tokens out.
    """

    of_effective: float
    of_softmax: float


def mean_divergences(plan, summary, heads, masks, weights=None):
    """Returns the `Divergences` of an effective attention matrix E and softmax attention p.

    Args:
        plan: `Factorization`.
        summary: str.
        heads: list of pairs of query and key `[B, H, T, D]`.
        masks: bool array `[B, T]`.
        weights: list of what every pair's plan has learned, or None.
    """
    import numpy as np

    totals, count = np.zeros(2), 0
    weights = [None] * len(heads) if weights is None else weights
    for (query, key), learned in zip(heads, weights, strict=True):
        for b, mask in enumerate(masks):
            one = slice(b, b + 1)
            _, effective = plan.attend(
                query[one],
                key[one],
                key[one],
                padding_mask=masks[one],
                summary=summary,
                return_attention_scores=True,
                weights=learned,
            )
            effective = np.array(effective[0], "float64")[:, mask][:, :, mask]
            q, k = (x[b][:, mask].astype("float64") for x in (query, key))
            logits = q @ np.swapaxes(k, 1, 2) / np.sqrt(q.shape[-1])
            largest = logits.max(-1, keepdims=True)
            log_p = logits - largest - np.log(np.exp(logits - largest).sum(-1, keepdims=True))
            positive = effective > 0
            log_e = np.log(np.where(positive, effective, 1.0))
            differences = np.where(positive, log_e - log_p, 0.0)
            of_effective = np.sum(effective * differences, axis=-1)
            of_softmax = np.where(
                positive.all(-1), -np.sum(np.exp(log_p) * differences, axis=-1), np.inf
            )
            totals += [of_effective.sum(), of_softmax.sum()]
            count += of_effective.size
    return Divergences(*(totals / count).tolist())


def random_divergences(settings):
    """Returns divergences of normal queries and keys by plan and summary.

    Returns:
        dict of the plan and the summary ("fixed max") to a dict of the standard deviation ("1.0")
        to `Divergences`, as a list. A summary that leaves tokens out has no KL(p || E): None.
    """
    import numpy as np

    shape = (4, settings["num_heads"], settings["max_length"])
    shape = (*shape, settings["hidden_dim"] // settings["num_heads"])
    generator = np.random.default_rng(0)
    query, key = (generator.normal(size=shape).astype("float32") for _ in "qk")
    masks = np.ones((shape[0], shape[2]), bool)
    found = {}
    for plan in SUMMARIES:
        for summary in RANDOM_SUMMARIES:
            by_deviation = {
                str(x): mean_divergences(
                    plan_of(plan, settings), summary, [(x * query, x * key)], masks
                )
                for x in DEVIATIONS
            }
            found[f"{plan} {summary}"] = {
                deviation: [x if math.isfinite(x) else None for x in pair]
                for deviation, pair in by_deviation.items()
            }
    return found
