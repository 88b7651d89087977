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
