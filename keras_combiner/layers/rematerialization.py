"""Rematerialization: the gradient computes activations again, which are not kept in memory."""

import contextlib
import contextvars

import keras
from keras import ops

_STRIDE = 15_485_863  # between the seeds that follow from one: a prime, far from small numbers
_RANGE = 2**30  # which leaves room to add in 32 bits

_seeds = contextvars.ContextVar("seeds", default=None)


def rematerialized(function, x, seed_generator):
    """Applies a function whose intermediate tensors are not kept for its gradient.

    The gradient computes them again from `x`, with the same random numbers, as long as these are
    drawn with `seed_generator_of`.

    Args:
        function: callable, tensor -> tensor. Of what else it uses, only variables get gradients. It
            must not change a variable.
        x: float tensor.
        seed_generator: `keras.random.SeedGenerator`, which is asked for a seed once; or None, if
            no random numbers are drawn.

    Returns:
        What `function` returns for `x`.

    Reference:
        Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016,
        https://arxiv.org/abs/1604.06174.
    """
    seed = None if seed_generator is None else seed_generator.next()

    def run(x):
        with _seeds_from(seed):
            return function(x)

    return keras.remat(run)(x)


def seed_generator_of(layer):
    """Returns the `keras.random.SeedGenerator` that a layer has to draw its random numbers with.

    Args:
        layer: layer with an attribute `seed_generator`.
    """
    return _seeds.get() or layer.seed_generator


@contextlib.contextmanager
def _seeds_from(seed):
    token = _seeds.set(None if seed is None else _DerivedSeeds(seed))
    try:
        yield
    finally:
        _seeds.reset(token)


class _DerivedSeeds(keras.random.SeedGenerator):
    """Seeds that are derived from one: the same in every run that begins with it."""

    def __init__(self, seed):
        # The parent's `__init__` would make a state, which a second run would find changed.
        self._first = seed
        self._count = 0

    def next(self, ordered=True):
        """Returns the next seed, a tensor like the first."""
        self._count += 1
        step = ops.convert_to_tensor([self._count * _STRIDE % _RANGE, 0])
        return self._first + ops.cast(step, self._first.dtype)
