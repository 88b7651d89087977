"""Plots of a training, as PNG files."""

import numpy as np

from keras_combiner.whole_files import written_whole

_MOST_NUMBERS = 15


def plot_history(path, history):
    """Draws every figure over the epochs, training and validation together.

    Args:
        path: str or path, ending in ".png"; replaced if it exists.
        history: dict of str to list of float, as `keras.callbacks.History` has it.

    Raises:
        ImportError: without matplotlib.
    """
    names = [name for name in history if not name.startswith("val_") and history[name]]
    figure = _figure(4.5 * max(1, len(names)), 3.5)
    for i, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if history.get(key):
                epochs = range(1, len(history[key]) + 1)
                axes.plot(epochs, history[key], marker="o", label=label)
        axes.set_title(name.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    _write(figure, path)


def plot_confusion(path, matrix, names):
    """Draws which class is taken for which.

    Args:
        path: str or path, ending in ".png"; replaced if it exists.
        matrix: int array `[classes, classes]`, documents by true class and by answer.
        names: list of str.

    Raises:
        ImportError: without matplotlib.
    """
    side = 3 + 0.45 * min(len(names), 40)
    figure = _figure(side + 1, side)
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true class")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    if len(names) <= _MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color)
    _write(figure, path)


def _figure(width, height):
    try:
        # The class itself, and not pyplot: no screen, no state.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib. Install it with: pip install keras_combiner[benchmarks]"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _write(figure, path):
    with written_whole(path, overwrite=True) as unfinished:
        figure.savefig(unfinished, format="png", dpi=120)
