"""Errors as one line that a user can act on."""

import pytest

from keras_combiner.cli import errors


def test_of_a_stream(tmp_path):
    import tensorflow as tf

    from keras_combiner.datasets import read_documents

    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n{"text": 5}\n')
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        list(read_documents(path).dataset())
    assert errors.one_line(raised.value) == (
        f"{path}:2: field 'text' must be a string, received a number. If the text is in "
        "another field, name it with --text-field"
    )


@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        (
            "InvalidArgumentError",
            "{{function_node f}} Shapes differ\n\t [[{{node x}}]]",
            "{{function_node f}} Shapes differ",
        ),
        (
            "UnknownError",
            "{{function_node f}} OSError: disk\non fire\nTraceback (most recent call last):\n",
            "disk on fire",
        ),
        (
            "ResourceExhaustedError",
            "OOM when allocating tensor\n\t [[{{node x}}]]",
            "out of memory. Take a smaller --batch-size, or train with a smaller "
            "--sequence-length. TensorFlow said: OOM when allocating tensor",
        ),
    ],
)
def test_of_tensorflow(name, message, expected):
    import tensorflow as tf

    error = getattr(tf.errors, name)(None, None, message)
    assert errors.one_line(error) == expected


def test_lines_are_joined():
    assert errors.one_line(ValueError("one,\n  two")) == "one, two"


def test_without_words_gets_its_name():
    assert errors.one_line(RuntimeError()) == "RuntimeError"
