"""Which trainings there are, where their figures are kept, and what is published of them."""

from benchmarks.common import files
from benchmarks.common.runs import digest
from benchmarks.quality.rows import is_baseline, rows_of


def jobs_of(settings, seeds):
    """Returns all runs, `(dataset, row, seed)`: every row with the first seed, then the next."""
    return [
        (dataset, row, seed)
        for place, seed in enumerate(seeds)
        for dataset in settings["datasets"]
        for row in rows_of(dataset)
        if place == 0 or not is_baseline(row)
    ]


def path_of(job, settings, folder):
    """Returns where the figures of a run are kept: those of other settings are other runs."""
    dataset, row, seed = job
    shared = {name: x for name, x in settings.items() if name != "rows"}
    own = settings.get("rows", {}).get(row, {})  # figures of before have none
    code = digest({**shared, "datasets": settings["datasets"][dataset], **own})
    name = f"{dataset}-{row}-{seed}-{code}.json".replace(",", "").replace(" ", "_")
    return folder / name


def summarize(runs, settings, seeds):
    """Returns the figures of docs/quality.json out of those of the runs."""
    figures = {}
    for dataset in settings["datasets"]:
        figures[dataset] = {}
        for row in rows_of(dataset):
            some = [runs[dataset, row, x] for x in seeds if (dataset, row, x) in runs]
            figures[dataset][row] = {name: [x[name] for x in some] for name in some[0]}
    return figures


def restore(figures, settings, seeds, folder):
    """Puts the runs of an earlier docs/quality.json back into `folder`; returns how many.

    Those of other settings, and those that are in `folder` already, are left alone.
    """
    restored = 0
    for dataset, rows in figures["rows"].items():
        for row, values in rows.items():
            done = zip(*values.values(), strict=True)
            for seed, run in zip(figures["seeds"], done, strict=False):  # a baseline has one
                job = (dataset, row, seed)
                if dataset not in settings["datasets"] or seed not in seeds:
                    continue
                path = path_of(job, settings, folder)
                if path_of(job, figures["settings"], folder) == path and not path.exists():
                    files.write_json(path, dict(zip(values, run, strict=True)))
                    restored += 1
    return restored
