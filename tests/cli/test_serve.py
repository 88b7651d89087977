"""`keras-combiner serve` before it serves; the server has tests of its own."""

import pytest

BAD = {
    "nothing to serve": ("serve --model nix", "There is no directory nix."),
    "no SavedModel to serve": ("serve --model empty", "a directory without a SavedModel. Make one"),
    "a file to serve": ("serve --model good.jsonl", "Received: good.jsonl, a file."),
    "one port for two": (
        "serve --model served --http-port 9 --grpc-port 9",
        "--http-port and --grpc-port must differ. Received: 9 for both.",
    ),
}


@pytest.mark.parametrize(("line", "words"), [(x[0], x[1:]) for x in BAD.values()], ids=list(BAD))
def test_bad_input_is_one_line_and_leaves_nothing(line, words, refused):
    message = refused(line)
    for word in words:
        assert word in message
