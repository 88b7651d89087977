"""The plan of several plans: the average of their outputs."""

import keras

from keras_combiner.factorizations import registry
from keras_combiner.factorizations.factorization import Factorization, MixedSupport


@keras.saving.register_keras_serializable(package="keras_combiner")
class Mixture(Factorization):
    """Averages the attention of several plans over the same queries, keys and values.

    Its effective attention matrix is the average of theirs. Cost: the sum of theirs; the pattern
    needs a static length if one of theirs does.

    Args:
        factorizations: list of str or `Factorization`, the plans; at least one.
        block_size: int, used by plans that are given by name.

    Raises:
        ValueError: if there is no plan, or for what `registry.get` refuses.

    Example:

    >>> Mixture(["fixed", "logsparse"], block_size=2).support(length=4)[0].members
    (Support(direct=(0, 1), parts=((2, 3),)), Support(direct=(0, 1), parts=((2, 3),)))

    Source: Ren et al., NeurIPS 2021, section 4.3 (Combiner-Mixture), which finds two plans enough.
    """

    def __init__(self, factorizations, block_size=64):
        if not isinstance(factorizations, list | tuple) or not factorizations:
            raise ValueError(
                "`factorizations` must be a list of at least one plan: Factorization objects, or "
                f"names among {', '.join(map(repr, registry.names()))}. "
                f"Received: {factorizations!r}."
            )
        self.factorizations = [registry.deserialize(x) for x in factorizations]
        self.plans = [registry.get(x, block_size) for x in self.factorizations]
        self.block_size = block_size

    def get_config(self):
        """Returns the constructor's arguments as a dictionary."""
        return {
            "factorizations": [registry.serialize(x) for x in self.factorizations],
            "block_size": self.block_size,
        }

    def support(self, length, causal=False, choice=None):
        """See `Factorization.support`; `choice` is a list, what every member chose, or None."""
        choices = [None] * len(self.plans) if choice is None else choice
        members = [
            plan.support(length, causal, member)
            for plan, member in zip(self.plans, choices, strict=True)
        ]
        return [MixedSupport(supports) for supports in zip(*members, strict=True)]

    @property
    def any_length(self):
        """See `Factorization`."""
        return all(plan.any_length for plan in self.plans)

    @property
    def covers_all(self):
        """See `Factorization`: what one member leaves out, another may cover."""
        return any(plan.covers_all for plan in self.plans)

    @property
    def learns_without_gradients(self):
        """See `Factorization`."""
        return any(plan.learns_without_gradients for plan in self.plans)

    @property
    def pools_parts(self):
        """See `Factorization`."""
        return any(plan.pools_parts for plan in self.plans)

    @property
    def chooses(self):
        """See `Factorization`: a list, what every member chooses, or None if none of them does."""
        chosen = [plan.chooses for plan in self.plans]
        return chosen if any(chosen) else None

    def weight_specs(self, *sizes):
        """See `Factorization.weight_specs`; names say which member they belong to."""
        return self._named_by_member([plan.weight_specs(*sizes) for plan in self.plans])

    def updated_weights(self, weights, key, padding_mask=None):
        """See `Factorization.updated_weights`."""
        return self._named_by_member(
            [
                plan.updated_weights(self.member_weights(weights, index), key, padding_mask)
                for index, plan in enumerate(self.plans)
            ]
        )

    def member_weights(self, weights, index):
        """The weights of plan number `index`, under that plan's own names."""
        prefix = f"member_{index}_"
        return {
            name.removeprefix(prefix): weight
            for name, weight in weights.items()
            if name.startswith(prefix)
        }

    def _named_by_member(self, members):
        return {
            f"member_{index}_{name}": x
            for index, member in enumerate(members)
            for name, x in member.items()
        }

    def attend_heads(self, tokens, options, learned):
        """See `Factorization.attend_heads`."""
        results = [
            plan.attend_heads(
                tokens, options, learned._replace(weights=self.member_weights(learned.weights, i))
            )
            for i, plan in enumerate(self.plans)
        ]
        return (
            _average([outputs for outputs, _ in results]),
            lambda: _average([attention_scores() for _, attention_scores in results]),
        )


def _average(tensors):
    """Averages tensors, scaled before the sum, which could otherwise exceed what float16 holds."""
    shares = [x * (1.0 / len(tensors)) for x in tensors]
    return sum(shares[1:], shares[0])
