"""The profile of training: every operation has one purpose."""

import tensorflow as tf

from benchmarks.training import profile


def test_operations_have_the_purpose_that_their_names_tell():
    path = "gradient_tape/long_document_classifier_1/combiner_backbone_1/encoder_0_1/"
    assert [
        profile.purpose_of(name)
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
        profile.REST,
    ]


def test_the_profiler_sees_operations_and_their_times():
    x = tf.random.normal((512, 512))

    @tf.function
    def run(x):
        with tf.name_scope("feedforward"):
            return tf.matmul(x, x)

    run(x)
    seconds = profile.profiled(lambda: run(x))
    found = {name: some for name, some in seconds.items() if "MatMul" in name}
    assert [profile.purpose_of(name) for name in found] == ["feed-forward"]
    assert all(0 < some < 10 for some in found.values())
