"""The judge of every plan: Combiner attention from its definition, dense, in numpy float64.

Written from the paper's equations and a plan's `support()`; shares no code with `attend()`. From
the package it takes only plans and the words in which their supports are put.
"""

import functools
from typing import NamedTuple

import numpy as np

from keras_combiner.factorizations import Factorization
from keras_combiner.factorizations.factorization import CellPart


def softmax(logits):
    shifted = np.exp(logits - np.max(logits))
    return shifted / shifted.sum()


WEIGHED = ("variational", "gaussian")  # summaries whose keys are averages by local weights


class Part(NamedTuple):
    """What a query needs to know of a part; local weights are those of `positions`."""

    positions: list
    key: np.ndarray
    bias: float
    local: np.ndarray
    variance: np.ndarray

    def logit(self, query):
        """Of a query [D] that is divided by sqrt(D): half its variance counts, up to 4 nats."""
        return query @ self.key + self.bias + min(query**2 @ self.variance / 2, 4.0)


def entropy(weights):
    positive = weights[weights > 0]
    return -np.sum(positive * np.log(positive))


def relu(x):
    return np.maximum(x, 0)


def pool(query, key, tokens, summary, weights):
    """Query and key of the part that holds `tokens`; those in `WEIGHED` make another key then."""
    query, key = query[tokens], key[tokens]
    if summary in ("mean", *WEIGHED):
        return query.mean(0), key.mean(0)
    if summary == "deepset":
        query = relu(query @ weights["deepset_query_kernel"])
        key = relu(key @ weights["deepset_key_kernel"])
    return query.max(0), key.max(0)


def cell_weights(query, key, part, padding_mask):
    """Tokens of a `CellPart` that count, and its local distribution over them."""
    tokens = [j for j in part.positions if padding_mask[j]]
    if not tokens:
        return tokens, None
    has_cell = part.cell < len(query) and padding_mask[part.cell]
    part_query = query[part.cell] if has_cell else query[tokens].max(0)
    return tokens, softmax(key[tokens] @ part_query / np.sqrt(key.shape[-1]))


@functools.lru_cache(maxsize=8)
def supports_of(plan, length, causal=False, choice=None):
    """What `plan.support` says, which many heads in a row ask for."""
    return plan.support(length, causal, choice)


def projected_keys(plan, query, key, value, padding_mask, weights, inputs):
    """The keys of all parts of one document whose key is learned: {cell: keys [H, D]}."""
    num_heads, length, key_dim = key.shape
    parts = {part for support in supports_of(plan, length) for part in support.parts}
    keys = {}
    for part in (x for x in parts if isinstance(x, CellPart) and x.learned_key):
        values = []
        for h in range(num_heads):
            tokens, local = cell_weights(query[h], key[h], part, padding_mask)
            values.append(local @ value[h][tokens] if tokens else np.zeros(value.shape[-1]))
        cell = np.concatenate(values) @ weights["row_value_kernel"]
        if part.cell < length and padding_mask[part.cell]:
            cell = cell + inputs[part.cell]
        cell = (cell - cell.mean()) / np.sqrt(cell.var() + 1e-5)
        cell = cell * weights["row_norm_scale"] + weights["row_norm_offset"]
        keys[part.cell] = (cell @ weights["row_key_kernel"]).reshape(num_heads, key_dim)
    return keys


def part_summary(query, key, part, padding_mask, summary, weights=None, cell_keys=None):
    """`Part` of a part as `Support` states it, or None if no token of it counts."""
    scale = np.sqrt(key.shape[-1])
    if isinstance(part, CellPart):
        tokens, local = cell_weights(query, key, part, padding_mask)
        if not tokens:
            return None
        bias = entropy(local) if summary in WEIGHED else 0.0
        mean = local @ key[tokens]
        variance = np.zeros_like(mean)
        if summary == "gaussian":
            variance = local @ (key[tokens] - mean) ** 2
        part_key = cell_keys[part.cell] if part.learned_key else mean
        return Part(tokens, part_key, bias, local, variance)
    # Children: tokens are parts of one.
    if isinstance(part[0], tuple):
        children = [
            part_summary(query, key, child, padding_mask, summary, weights, cell_keys)
            for child in part
        ]
        children = [child for child in children if child is not None]
    else:
        children = [Part([j], key[j], 0.0, np.ones(1), 0 * key[j]) for j in part if padding_mask[j]]
    if not children:
        return None
    tokens = [j for child in children for j in child.positions]
    part_query, part_key = pool(query, key, tokens, summary, weights)
    child_keys = np.stack([child.key for child in children])
    shares = softmax(child_keys @ part_query / scale)
    local = np.concatenate([w * child.local for w, child in zip(shares, children, strict=True)])
    bias, variance = 0.0, np.zeros_like(part_key)
    if summary in WEIGHED:
        part_key = shares @ child_keys
        bias = entropy(shares) + shares @ [child.bias for child in children]
    if summary == "gaussian":  # that of all tokens: the law of total variance
        mean = local @ key[tokens]
        variance = local @ (key[tokens] - mean) ** 2
    return Part(tokens, part_key, bias, local, variance)


def effective_matrix(
    query, key, supports, padding_mask, summary, weights, cell_keys=None, favor=0.0
):
    """The effective attention matrix [T, T] of one head with query and key [T, D].

    `favor` is what it adds to the logits of direct tokens.
    """
    cache = {}

    def summarize(part):
        if part not in cache:
            cache[part] = part_summary(query, key, part, padding_mask, summary, weights, cell_keys)
        return cache[part]

    def row(i, support):
        row = np.zeros(len(query))
        direct = [j for j in support.direct if padding_mask[j]]
        parts = [summarize(part) for part in support.parts if summary != "none"]
        parts = [part for part in parts if part is not None]
        scaled = query[i] / np.sqrt(key.shape[-1])
        logits = [key[j] @ scaled + favor for j in direct] + [part.logit(scaled) for part in parts]
        if not logits:
            return row
        shares = softmax(np.array(logits))
        row[direct] = shares[: len(direct)]
        for share, part in zip(shares[len(direct) :], parts, strict=True):
            row[part.positions] = share * part.local
        return row

    return np.array([row(i, support) for i, support in enumerate(supports)]).reshape(
        len(query), len(query)
    )


class Head(NamedTuple):
    """What a plan may choose by: one head of one document."""

    query: np.ndarray
    key: np.ndarray
    padding_mask: np.ndarray
    causal: bool
    summary: str
    weights: dict
    number: int


def clusters(plan, head):
    """The cluster of every token by the cosine of its key; padding comes last."""
    centroids = head.weights["centroids"][head.number]
    centroids = centroids / np.linalg.norm(centroids, axis=-1, keepdims=True)
    nearest = np.argmax(head.key @ centroids.T, axis=-1)
    return tuple(np.where(head.padding_mask, nearest, len(centroids)).tolist())


def masses_of_parts(plan, head):
    """`(parts, masses)` of every group of queries: those in reach, and what it gives to each."""
    query, key, padding_mask = head.query, head.key, head.padding_mask
    length, scale = len(query), np.sqrt(key.shape[-1])
    size, part_size = plan.block_size, plan.part_size or plan.block_size
    group_size = plan.choice_size or size
    if head.summary == "none":
        return [([], np.zeros(0)) for _ in range(0, length, group_size)]
    starts = range(0, length, part_size)
    parts = [list(range(s, min(s + part_size, length))) for s in starts]
    summaries = [
        part_summary(query, key, tuple(x), padding_mask, head.summary, head.weights) for x in parts
    ]
    groups = []
    for first in range(0, length, group_size):
        own = first // size
        away = [s // size - own for s in starts]
        is_first = [s // size < plan.first_blocks for s in starts]
        reach = [
            m
            for m, part in enumerate(summaries)
            if part is not None
            and not is_first[m]
            and (away[m] < -plan.neighbors or (not head.causal and away[m] > plan.neighbors))
        ]
        by_group_before = head.causal and group_size > 1
        choosing = first - group_size if by_group_before else first
        mass = np.zeros(len(reach))
        for i in range(choosing, min(choosing + group_size, length)):
            if i < 0 or not padding_mask[i] or not reach:
                continue
            scaled = query[i] / scale
            direct = []
            if not by_group_before:
                blocks_away = np.arange(length) // size - own
                direct = np.abs(blocks_away) <= plan.neighbors
                direct |= np.arange(length) // size < plan.first_blocks
                direct &= padding_mask
                if head.causal:
                    direct &= np.arange(length) <= i
                direct = list(key[direct] @ scaled)
            logits = direct + [summaries[m].logit(scaled) for m in reach]
            mass += softmax(np.array(logits))[len(direct) :]
        groups.append((reach, mass))
    return groups


def opened_parts(plan, head):
    """The numbers of the parts that every group of queries opens, of equal ones the earlier."""
    return tuple(
        tuple(reach[m] for m in np.argsort(-mass, kind="stable")[: plan.opened])
        for reach, mass in masses_of_parts(plan, head)
    )


def close_choices(plan, query, key, padding_mask, causal, summary, share):
    """bool [B, H, T]: queries for which rounding may open another part.

    The least mass that their group opens is above the largest that it leaves closed by less than
    that share of it.

    Args:
        plan: a `LearnedPlan`.
        query: [B, H, T, D].
        key: as the query.
        padding_mask: bool array [B, T].
        causal: bool.
        summary: str.
        share: float.
    """
    query, key = (np.asarray(x, "float64") for x in (query, key))
    learned = plan.learned(query.shape, query.shape[3], summary)["weights"]
    weights = {name: np.asarray(x, "float64") for name, x in learned.items()}
    close = np.zeros(query.shape[:3], bool)
    for single, own in _single_plans(plan.plan, weights):
        for b, h in np.ndindex(query.shape[:2]) if single.chooses == "parts" else ():
            head = Head(query[b, h], key[b, h], padding_mask[b], causal, summary, own, h)
            size = single.choice_size or single.block_size
            for group, (_, masses) in enumerate(masses_of_parts(single, head)):
                if len(masses) > single.opened:
                    first, second = np.sort(masses)[::-1][single.opened - 1 :][:2]
                    close[b, h, group * size :][:size] |= first - second < share * first
    return close


def _single_plans(plan, weights):
    """`(plan, weights)` of every plan of a mixture; of any other plan, the pair itself."""
    if not plan.plans:
        return [(plan, weights)]
    members = [
        (x, {**weights, **plan.member_weights(weights, i)}) for i, x in enumerate(plan.plans)
    ]
    return [single for member in members for single in _single_plans(*member)]


CHOICES = {"clusters": clusters, "parts": opened_parts}  # by `Factorization.chooses`


def document_matrices(
    plan, query, key, value, padding_mask, causal, summary, weights, inputs, locality
):
    """The effective attention matrices [H, T, T] of one document, heads [H, T, D]."""
    if plan.plans:
        matrices = [
            document_matrices(
                member,
                query,
                key,
                value,
                padding_mask,
                causal,
                summary,
                {**weights, **plan.member_weights(weights, index)},
                inputs,
                locality,
            )
            for index, member in enumerate(plan.plans)
        ]
        return np.mean(matrices, axis=0)
    keys = projected_keys(plan, query, key, value, padding_mask, weights, inputs)
    cell_keys = [{cell: x[h] for cell, x in keys.items()} for h in range(len(query))]
    matrices = []
    favors = np.linspace(0, locality, len(query))
    for h in range(len(query)):
        choice = None
        if plan.chooses is not None:
            head = Head(query[h], key[h], padding_mask, causal, summary, weights, h)
            choice = CHOICES[plan.chooses](plan, head)
        supports = supports_of(plan, key.shape[1], causal, choice)
        matrices.append(
            effective_matrix(
                query[h],
                key[h],
                supports,
                padding_mask,
                summary,
                weights,
                cell_keys[h],
                favors[h],
            )
        )
    return np.stack(matrices)


def attend(
    plan, query, key, value, padding_mask=None, causal=False, summary="variational", locality=0.0
):
    """`(outputs, scores)` for query, key [B, H, T, D] and value [B, H, T, V].

    Args:
        plan: a `Factorization`, or one with weights: a `tests.factorizations.plans.LearnedPlan`.
        query: as given.
        key: as given.
        value: as given.
        padding_mask: bool array [B, T], or None.
        causal: bool.
        summary: str.
        locality: float.
    """
    learned = {"weights": {}, "inputs": [None] * len(query)}
    if not isinstance(plan, Factorization):
        learned, plan = plan.learned(query.shape, value.shape[3], summary), plan.plan
    query, key, value = (np.asarray(x, "float64") for x in (query, key, value))
    weights = {name: np.asarray(x, "float64") for name, x in learned["weights"].items()}
    batch, _, length, _ = query.shape
    if padding_mask is None:
        padding_mask = np.ones((batch, length), bool)
    scores = np.stack(
        [
            document_matrices(
                plan,
                query[b],
                key[b],
                value[b],
                padding_mask[b],
                causal,
                summary,
                weights,
                learned["inputs"][b],
                locality,
            )
            for b in range(batch)
        ]
    )
    return scores @ value, scores


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
