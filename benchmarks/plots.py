"""Matplotlib without a screen."""


def pyplot():
    """The module `matplotlib.pyplot`, ready to draw into files."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "The plot needs matplotlib. Install it with: pip install keras_combiner[benchmarks]"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
