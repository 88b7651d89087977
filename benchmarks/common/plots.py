"""Matplotlib without a screen."""


def pyplot():
    """Returns the module `matplotlib.pyplot`, ready to draw into files."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "The plot needs matplotlib. Install it with: pip install keras_combiner[benchmarks]"
        ) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save(figure, path, rect=(0, 0, 1, 1)):
    """Writes a figure as PNG.

    Args:
        figure: `matplotlib.figure.Figure`.
        path: path of the file.
        rect: tuple of float, the part of the figure that the axes may take.
    """
    figure.tight_layout(rect=rect)
    figure.savefig(path, dpi=120)
    pyplot().close(figure)
