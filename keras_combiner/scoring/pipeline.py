"""add_scoring: the steps from shards to files of results, as a Beam pipeline."""

import json
import uuid

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from keras_combiner.scoring.model_handler import CombinerModelHandler
from keras_combiner.scoring.shard_records import length_batches, local_copy, shard_records

# Outputs of `_Read` beside batches of texts.
_NOTES = "notes"


def add_scoring(pipeline, shards, output, model, labels=None, text_field="text", batch_size=16):
    """Adds all steps to a pipeline.

    A shard is read, batched and scored in one go, so that texts are neither kept nor sent around;
    what is collected are the results, which are small.

    Args:
        pipeline: `apache_beam.Pipeline`.
        shards: list of `Shard`.
        output: str, the directory of output.
        model: str, the SavedModel's directory.
        labels: list of str or None, names of the classes.
        text_field: str, the field or column with the text.
        batch_size: int, texts that go through the model together.
    """
    handler = KeyedModelHandler(CombinerModelHandler(model, labels)).with_no_batching()
    read = (
        pipeline
        | "Shards" >> beam.Create(shards)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(_Read(text_field, batch_size)).with_outputs(_NOTES, main="batches")
    )
    results = read.batches | "Score" >> RunInference(handler) | "Results" >> beam.Map(_result)
    _ = (
        (results, read[_NOTES])
        | "Together" >> beam.Flatten()
        | "By shard" >> beam.GroupByKey()
        | "Write" >> beam.ParDo(_Write({shard.name: shard for shard in shards}, output))
    )


class _Read(beam.DoFn):
    """Turns a shard into batches of ((name, place), text), and notes of what is bad."""

    def __init__(self, text_field, batch_size):
        self._text_field = text_field
        self._batch_size = batch_size

    def process(self, shard):
        bad = []
        # A shard without one good record has results too.
        yield beam.pvalue.TaggedOutput(_NOTES, (shard.name, None))
        with local_copy(shard.path) as path:
            records = shard_records(path, self._text_field, shard.path)
            yield from length_batches(_good(records, shard.name, bad), self._batch_size)
        for note in bad:
            yield beam.pvalue.TaggedOutput(_NOTES, (shard.name, note))


def _good(records, name, bad):
    for place, text, reason in records:
        if text is None:
            bad.append((place, {"reason": reason}))
        else:
            yield (name, place), text


def _result(keyed):
    (name, place), row = keyed
    return name, (place, row)


class _Write(beam.DoFn):
    """Writes the results of a shard; files appear whole, and the one that says so last."""

    def __init__(self, shards, output):
        self._shards = shards
        self._output = output

    def process(self, group):
        name, notes = group
        shard = self._shards[name]
        scores, bad = [], []
        # What has no place is what ended the reading.
        for place, row in sorted(filter(None, notes), key=_order):
            (bad if "reason" in row else scores).append({"file": shard.name, **place, **row})
        paths = shard.results(self._output)
        folder = paths["done"].rsplit("/", 1)[0]
        if not FileSystems.exists(folder):
            _make_folder(folder)
        if bad:
            _write_whole(paths["bad"], _lines(bad))
        elif FileSystems.exists(paths["bad"]):
            FileSystems.delete([paths["bad"]])  # of an earlier run, before the shard was repaired
        _write_whole(paths["scores"], _lines(scores))
        report = {
            "stamp": shard.stamp,
            "model": shard.model,
            "scored": len(scores),
            "bad": len(bad),
        }
        _write_whole(paths["done"], json.dumps(report))


def _order(note):
    place, _ = note
    return next(iter(place.values()), float("inf"))


def _lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _make_folder(folder):
    try:
        FileSystems.mkdirs(folder)
    except OSError:  # another worker was faster
        if not FileSystems.exists(folder):
            raise


def _write_whole(path, content):
    """Writes beside the place and renames; of two workers at the same shard, one wins wholly."""
    unfinished = f"{path}.tmp-{uuid.uuid4().hex[:8]}"
    with FileSystems.create(unfinished, mime_type="application/json") as file:
        file.write(content.encode())
    FileSystems.rename([unfinished], [path])
