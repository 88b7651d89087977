"""score_corpus: every document of a corpus through an exported model, once."""

import itertools
import os
from collections import deque
from typing import NamedTuple

from keras_combiner.scoring.beam_import import import_beam
from keras_combiner.scoring.local_run import run_locally
from keras_combiner.scoring.shard import find_shards, refuse_other_models
from keras_combiner.scoring.shard_records import shard_reader
from keras_combiner.version_folders import no_saved_model, saved_models

# How often a shard is tried alone before it is given up.
_ATTEMPTS = 2
# Shards that one run of the direct runner takes for each of its workers: a run loads the model
# once, and its results appear at its end.
_SHARDS_A_WORKER = 8


class CorpusReport(NamedTuple):
    """The result of scoring a corpus.

    Args:
        shards: int, how many there are.
        skipped: int, how many of them had been scored before.
        scored: int, documents in all files of scores.
        bad: int, records in all dead-letter files.
        lost: tuple of str, shards that end every worker that reads them, and have no results.
    """

    shards: int
    skipped: int
    scored: int
    bad: int
    lost: tuple = ()


def score_corpus(
    model, input, output, labels=None, text_field="text", batch_size=16, workers=1, beam_options=()
):
    """Scores every document of the files that a pattern names.

    For every shard there appears in `output` a file of scores, one of bad records if there are any,
    and one that says that it is finished; see `keras_combiner.scoring.shard.Shard`. Shards that are
    finished are not scored again, unless they or the model or the other arguments have changed.
    Answers of two models are not mixed: where those of another one would stay, scoring is refused.

    Args:
        model: str or path, the SavedModel's directory, or one of numbered ones, whose newest is
            taken.
        input: str, a file or a pattern of files, of records: .jsonl or .ndjson, .csv or .tsv, each
            also with .gz or .zst, .parquet or .tfrecord.
        output: str or path, the directory of results.
        labels: list of str, names of the classes in the order of the model's probabilities; None
            for a plain list of probabilities.
        text_field: str, the field or column with the text.
        batch_size: int, documents that go through the model together.
        workers: int, processes of the direct runner.
        beam_options: list of str, options of Beam. With `--runner`, the pipeline runs there, and as
            a whole; without, on the direct runner, some shards at a time, and shards whose worker
            died are tried again.

    Returns:
        `CorpusReport`.

    Raises:
        ImportError: if Apache Beam is missing (extra "beam").
        FileNotFoundError: if there is no such file, or no such model.
        ValueError: if a file's ending is not one of a format of records, for a wrong name, or if
            `output` holds answers of another model to other shards.
        RuntimeError: if the pipeline raised an error.
    """
    import_beam()
    model, input, output = (_absolute(str(path)) for path in (model, input, output))
    model = _saved_model(model)
    settings = {
        "output": output,
        "model": model,
        "labels": labels,
        "text_field": text_field,
        "batch_size": batch_size,
    }
    # What results depend on besides the shard; not the batch size, so that a smaller one does not
    # score finished shards again.
    stamp = {"model": _fingerprint(model), "labels": labels, "text_field": text_field}
    shards = find_shards(input, output, stamp)
    refuse_other_models(output, shards)
    unfinished = [shard for shard in shards if shard.finished(output) is None]
    for shard in unfinished:
        if os.path.exists(shard.path):
            shard_reader(shard.path, text_field)  # refuses what a worker would, and at once
    beam_options = list(beam_options)
    if _is_direct(beam_options):
        _run_in_parts(unfinished, settings, workers, beam_options)
    elif unfinished:
        _run_elsewhere(unfinished, settings, beam_options)
    reports = {shard.name: shard.finished(output) for shard in shards}
    finished = [x for x in reports.values() if x is not None]
    return CorpusReport(
        shards=len(shards),
        skipped=len(shards) - len(unfinished),
        scored=sum(x["scored"] for x in finished),
        bad=sum(x["bad"] for x in finished),
        lost=tuple(name for name, x in reports.items() if x is None),
    )


def _is_direct(beam_options):
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    runner = PipelineOptions(beam_options).view_as(StandardOptions).runner
    return runner in (None, "DirectRunner")


def _run_in_parts(shards, settings, workers, beam_options):
    beam_options = ["--default_sdk_harness_log_level=ERROR", *beam_options]
    if workers > 1:
        beam_options = [
            f"--direct_num_workers={workers}",
            "--direct_running_mode=multi_processing",
            *beam_options,
        ]
    rest = iter(shards)
    parts = deque()  # of shards, and how often they have ended a worker
    while part := list(itertools.islice(rest, workers * _SHARDS_A_WORKER)):
        parts.append((part, 0))
    while parts:
        part, deaths = parts.popleft()
        part = [shard for shard in part if shard.finished(settings["output"]) is None]
        if not part or run_locally(part, settings, beam_options):
            continue
        # Halves find the shard that does it, if it was one, and let the others through.
        if len(part) > 1:
            middle = len(part) // 2
            parts.extendleft([(part[middle:], 0), (part[:middle], 0)])
        elif deaths + 1 < _ATTEMPTS:
            parts.appendleft((part, deaths + 1))


def _run_elsewhere(shards, settings, beam_options):
    beam = import_beam()
    from apache_beam.options.pipeline_options import PipelineOptions

    from keras_combiner.scoring.pipeline import add_scoring

    with beam.Pipeline(options=PipelineOptions(beam_options)) as pipeline:
        add_scoring(pipeline, shards, **settings)


def _absolute(path):
    """The path as all workers understand it; those on other file systems stay as they are."""
    return path.rstrip("/") if "://" in path else os.path.abspath(path)


def _saved_model(model):
    """The SavedModel's own directory, as str; the newest of numbered ones."""
    if "://" in model:  # on a file system that is Beam's matter
        return model
    found = saved_models(model)
    if not found:
        raise FileNotFoundError(no_saved_model(model))
    return str(found[0][1])


def _fingerprint(model):
    """What tells one export from another: its files by name and size, and what TensorFlow adds."""
    filesystems = import_beam().io.filesystems.FileSystems
    found = filesystems.match([f"{model}/**"])[0].metadata_list
    files = {x.path.removeprefix(model): x.size_in_bytes for x in found}
    content = b""
    if "/fingerprint.pb" in files:
        with filesystems.open(f"{model}/fingerprint.pb") as file:
            content = file.read()
    return [sorted(files.items()), content.hex()]
