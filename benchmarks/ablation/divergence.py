"""How far the effective attention of a plan is from softmax attention."""

from benchmarks.ablation.rows import SUMMARIES, comparable, plan_of


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


def mean_divergence(plan, summary, heads, masks, weights=None):
    """Returns the mean of KL(E || p) in nats over documents, heads, and queries that count.

    E is the effective attention matrix, p softmax attention over the same queries and keys.
    """
    import numpy as np

    total = count = 0
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
            rows = np.sum(effective * np.where(positive, log_e - log_p, 0.0), axis=-1)
            total += rows.sum()
            count += rows.size
    return float(total / count)


def random_divergences(settings):
    """Returns `mean_divergence` of standard normal queries and keys, a dictionary by row."""
    import numpy as np

    shape = (4, settings["num_heads"], settings["max_length"])
    shape = (*shape, settings["hidden_dim"] // settings["num_heads"])
    generator = np.random.default_rng(0)
    heads = [tuple(generator.normal(size=shape).astype("float32") for _ in "qk")]
    masks = np.ones((shape[0], shape[2]), bool)
    return {
        f"{plan} {summary}": mean_divergence(plan_of(plan, settings), summary, heads, masks)
        for plan in SUMMARIES
        for summary in comparable(plan)
    }
