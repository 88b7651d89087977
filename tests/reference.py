"""The judge of every plan: Combiner attention from its definition, dense, in numpy float64.

Written from the paper's equations and a plan's `support()`; shares no code with `attend()`. From
the package it takes only the words in which a support is put.
"""

from typing import NamedTuple

import numpy as np

from keras_combiner.factorizations.factorization import CellPart, MixedSupport


def softmax(logits):
    shifted = np.exp(logits - np.max(logits))
    return shifted / shifted.sum()


class Part(NamedTuple):
    """What a query needs to know of a part; local weights are those of `positions`."""

    positions: list
    key: np.ndarray
    bias: float
    local: np.ndarray


def entropy(weights):
    positive = weights[weights > 0]
    return -np.sum(positive * np.log(positive))


def part_summary(query, key, part, padding_mask, summary):
    """`Part` of a part as `Support` states it, or None if no token of it counts."""
    scale = np.sqrt(key.shape[-1])
    if isinstance(part, CellPart):
        tokens = [j for j in part.positions if padding_mask[j]]
        if not tokens:
            return None
        has_cell = part.cell < len(query) and padding_mask[part.cell]
        part_query = query[part.cell] if has_cell else query[tokens].max(0)
        local = softmax(key[tokens] @ part_query / scale)
        bias = entropy(local) if summary == "variational" else 0.0
        return Part(tokens, local @ key[tokens], bias, local)
    # Children: tokens are parts of one.
    if isinstance(part[0], tuple):
        children = [part_summary(query, key, child, padding_mask, summary) for child in part]
        children = [child for child in children if child is not None]
    else:
        children = [Part([j], key[j], 0.0, np.ones(1)) for j in part if padding_mask[j]]
    if not children:
        return None
    tokens = [j for child in children for j in child.positions]
    pool = np.max if summary == "max" else np.mean
    part_query, part_key = pool(query[tokens], 0), pool(key[tokens], 0)
    child_keys = np.stack([child.key for child in children])
    weights = softmax(child_keys @ part_query / scale)
    local = np.concatenate([w * child.local for w, child in zip(weights, children, strict=True)])
    bias = 0.0
    if summary == "variational":
        part_key = weights @ child_keys
        bias = entropy(weights) + weights @ [child.bias for child in children]
    return Part(tokens, part_key, bias, local)


def effective_matrix(query, key, supports, padding_mask, summary):
    """The effective attention matrix [T, T] of one head with query and key [T, D]."""
    query, key = np.asarray(query, "float64"), np.asarray(key, "float64")
    cache = {}

    def summarize(part):
        if part not in cache:
            cache[part] = part_summary(query, key, part, padding_mask, summary)
        return cache[part]

    def row(i, support):
        if isinstance(support, MixedSupport):
            return np.mean([row(i, member) for member in support.members], axis=0)
        weights = np.zeros(len(query))
        direct = [j for j in support.direct if padding_mask[j]]
        parts = [summarize(part) for part in support.parts]
        parts = [part for part in parts if part is not None]
        keys = [key[j] for j in direct] + [part.key for part in parts]
        if not keys:
            return weights
        biases = np.array([0.0] * len(direct) + [part.bias for part in parts])
        shares = softmax(np.stack(keys) @ query[i] / np.sqrt(key.shape[-1]) + biases)
        weights[direct] = shares[: len(direct)]
        for share, part in zip(shares[len(direct) :], parts, strict=True):
            weights[part.positions] = share * part.local
        return weights

    return np.array([row(i, support) for i, support in enumerate(supports)]).reshape(
        len(query), len(query)
    )


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
