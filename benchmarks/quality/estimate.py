"""How long the benchmark takes, by a few steps of every row."""

import time

from benchmarks.common.processes import one_core_workers
from benchmarks.quality import data as data_sets
from benchmarks.quality import training
from benchmarks.quality.rows import is_baseline
from benchmarks.quality.runs import jobs_of

START_SECONDS = 20  # about what a run takes besides


def speed_of(dataset, row, settings, folder, steps=3):
    """Returns the seconds of a training step, and of testing a document, of one row."""
    details = settings["datasets"][dataset]
    data = data_sets.load(dataset, details, folder)
    length = training.length_of(row, settings, dataset)
    ids, labels = data.token_ids["train"][:, :length], data.labels["train"]
    model = training.compiled(
        training.classifier(row, dataset, settings, len(data.vocabulary), data.num_classes)
    )
    order = data_sets.order(len(ids), 1 + steps, details["batch_size"], seed=0)
    seconds, done = training.fit(model, ids, labels, order, settings)
    batch = ids[order[0]]
    model.test_on_batch(batch, labels[order[0]])  # builds the graph
    started = time.process_time()
    model.test_on_batch(batch, labels[order[0]])
    return seconds / max(1, done - 1), (time.process_time() - started) / len(batch)


def estimate(settings, seeds, count, data, folder):
    """Prints how long the whole takes, by a few steps of every row."""
    total = 0.0
    with one_core_workers(1) as pool:
        trained = [job for job in jobs_of(settings, seeds[:1]) if not is_baseline(job[1])]
        for dataset, row, _ in trained:
            details = settings["datasets"][dataset]
            step, test = pool.submit(speed_of, dataset, row, settings, folder).result()
            seconds = min(settings["limit_seconds"], step * details["steps"])
            testing = test * data[dataset]["documents"]["test"]
            total += (seconds + testing + START_SECONDS) * len(seeds)
            share = seconds / (step * details["steps"])
            print(
                f"{dataset}, {row}: {step:.2f} s a step, {seconds:.0f} s of training "
                f"({share:.0%} of the steps), {testing:.0f} s of testing",
                flush=True,
            )
    print(f"The whole: about {total / count / 3600:.1f} h, {count} runs at a time.")
