"""The profile of training: every operation has one purpose, and shares are those of the times."""

import json

import tensorflow as tf

from benchmarks import report, training, training_report


def test_operations_have_the_purpose_that_their_names_tell():
    path = "gradient_tape/long_document_classifier_1/combiner_backbone_1/encoder_0_1/"
    assert [
        training.purpose_of(name)
        for name in (
            path + "attention_1/query_1/einsum/Einsum:_MklEinsum",
            path + "attention_1/dropout_1/stateless_dropout/SelectV2:SelectV2",
            path + "attention_1/attention_output_1/einsum/Einsum:_MklEinsum",
            path + "attention_1/Exp_1:Exp",
            path + "feedforward_output_1/Tensordot/MatMul:_MklMatMul",
            path + "dropout_1/stateless_dropout/Mul:Mul",
            "StatefulPartitionedCall/adam_w_1/UnsortedSegmentSum:UnsortedSegmentSum",
            "StatefulPartitionedCall/adam_w_1/mul:Mul",
            "IteratorGetNextOp::DoCompute",
            "StatefulPartitionedCall/compile_loss/Mean:Mean",
        )
    ] == [
        "attention: projections",
        "attention: dropout",
        "attention: projections",
        "attention: all else",
        "feed-forward",
        "dropout outside attention",
        "embedding and its gradient",
        "optimizer",
        "input",
        training.REST,
    ]


def test_the_profiler_sees_operations_and_their_times():
    x = tf.random.normal((512, 512))

    @tf.function
    def run(x):
        with tf.name_scope("feedforward"):
            return tf.matmul(x, x)

    run(x)
    seconds = training.profiled(lambda: run(x))
    found = {name: some for name, some in seconds.items() if "MatMul" in name}
    assert [training.purpose_of(name) for name in found] == ["feed-forward"]
    assert all(0 < some < 10 for some in found.values())


def test_the_page_tells_shares(tmp_path):
    figures = {
        "date": "2001-02-03",
        "machine": "a machine",
        "settings": training.SETTINGS,
        "documents_per_second": 12.34,
        "seconds": {"feed-forward": 3.0, "input": 1.0},
    }
    text = "\n".join(training_report.section(json.loads(json.dumps(figures))))
    assert "12.3 documents a second" in text
    assert "| feed-forward | 75% |\n| input | 25% |" in text
    report.write(tmp_path, "training", figures)
    assert (tmp_path / "training.png").stat().st_size > 1000
