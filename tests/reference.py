"""The judge of every plan: Combiner attention from its definition, dense, in numpy float64.

Written from the paper's equations and a plan's `support()`; shares no code with `attend()`.
"""

import numpy as np


def softmax(logits):
    shifted = np.exp(logits - np.max(logits))
    return shifted / shifted.sum()


def part_summary(query, key, part, summary):
    """Key, logit bias and local distribution of the tokens `part`, a list of positions."""
    if summary == "max":
        part_query, part_key = query[part].max(0), key[part].max(0)
    else:
        part_query, part_key = query[part].mean(0), key[part].mean(0)
    local = softmax(key[part] @ part_query / np.sqrt(key.shape[-1]))
    if summary != "variational":
        return part_key, 0.0, local
    positive = local[local > 0]
    return local @ key[part], -np.sum(positive * np.log(positive)), local


def effective_matrix(query, key, supports, padding_mask, summary):
    """The effective attention matrix [T, T] of one head with query and key [T, D]."""
    query, key = np.asarray(query, "float64"), np.asarray(key, "float64")
    length, key_dim = query.shape
    effective = np.zeros((length, length))
    cache = {}
    for i, (direct, parts) in enumerate(supports):
        direct = [j for j in direct if padding_mask[j]]
        parts = [tuple(j for j in part if padding_mask[j]) for part in parts]
        parts = [part for part in parts if part]
        logits = [query[i] @ key[j] / np.sqrt(key_dim) for j in direct]
        for part in parts:
            if part not in cache:
                cache[part] = part_summary(query, key, list(part), summary)
            part_key, bias, _ = cache[part]
            logits.append(query[i] @ part_key / np.sqrt(key_dim) + bias)
        if not logits:
            continue
        weights = softmax(np.array(logits))
        effective[i, direct] = weights[: len(direct)]
        for weight, part in zip(weights[len(direct) :], parts, strict=True):
            effective[i, list(part)] = weight * cache[part][2]
    return effective


def attend(plan, query, key, value, padding_mask=None, causal=False, summary="max"):
    """`(outputs, scores)` for query, key [B, H, T, D] and value [B, H, T, V]."""
    batch, num_heads, length, _ = query.shape
    if padding_mask is None:
        padding_mask = np.ones((batch, length), bool)
    supports = plan.support(length, causal)
    scores = np.stack(
        [
            [
                effective_matrix(query[b, h], key[b, h], supports, padding_mask[b], summary)
                for h in range(num_heads)
            ]
            for b in range(batch)
        ]
    )
    return scores @ np.asarray(value, "float64"), scores


PADDINGS = ("none", "right", "left", "scattered", "all")


def padding_mask(kind, batch, length, seed=0):
    """[batch, length], true at tokens that count, or None; the last row is all padding in "all".

    Every other row keeps at least one token.
    """
    if kind == "none":
        return None
    generator = np.random.default_rng(seed)
    count = np.maximum(1, generator.integers(length // 3, length + 1, size=(batch, 1)))
    places = np.arange(length)
    if kind == "left":
        return places >= length - count
    if kind == "scattered":
        mask = generator.random((batch, length)) < 0.5
        mask[:, generator.integers(length)] = True
        return mask
    mask = places < count
    if kind == "all":
        mask[-1] = False
    return mask


def heads(shape, value_dim=None, seed=0, scale=1.0):
    """Random query, key [B, H, T, D] and value [B, H, T, V], float32."""
    generator = np.random.default_rng(seed)
    value_shape = (*shape[:3], shape[3] if value_dim is None else value_dim)
    return tuple(
        (scale * generator.normal(size=each)).astype("float32")
        for each in (shape, shape, value_shape)
    )
