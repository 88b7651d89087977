"""Plots of a training, as PNG files."""

import numpy as np

from keras_combiner.atomic_files import atomic_write

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


def plot_reliability(path, tables):
    """Draws how often answers are right over how probable they were said to be.

    Bars are the share of right answers in each bin, and should end on the diagonal; below is how
    many answers each bin has.

    Args:
        path: str or path, ending in ".png"; replaced if it exists.
        tables: dict of title to `keras_combiner.tasks.Reliability`.

    Raises:
        ImportError: without matplotlib.
    """
    figure = _figure(4.0 * len(tables), 4.8)
    grid = figure.add_gridspec(2, len(tables), height_ratios=(3, 1))
    for i, (title, table) in enumerate(tables.items()):
        counts = np.array(table.counts)
        edges = np.arange(len(counts) + 1) / len(counts)
        middles, width = (edges[1:] + edges[:-1]) / 2, 1 / len(counts)
        shares = [0.0 if x is None else x for x in table.shares]
        means = [x for x in zip(table.confidences, table.shares, strict=True) if None not in x]
        axes = figure.add_subplot(grid[0, i])
        axes.bar(middles, shares, width, color="tab:blue", alpha=0.6, edgecolor="white")
        axes.plot([0, 1], [0, 1], color="gray", linestyle="--", linewidth=1)
        axes.plot(*zip(*means, strict=True), "o", color="tab:red", label="mean of a bin")
        axes.set_title(f"{title}: ECE {table.error:.3f}")
        axes.set_ylabel("share of right answers")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        if i == 0:
            axes.legend(loc="upper left")
        axes = figure.add_subplot(grid[1, i])
        axes.bar(middles, counts, width, color="gray", edgecolor="white")
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability")
        axes.set_ylabel("answers")
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
    with atomic_write(path, overwrite=True) as unfinished:
        figure.savefig(unfinished, format="png", dpi=120)
