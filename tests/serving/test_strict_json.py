import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_combiner.serving.errors import InvalidInput
from keras_combiner.serving.strict_json import read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3),
    max_leaves=8,
)


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_what_is_json_is_read(value):
    for ascii in (True, False):
        assert read_json(json.dumps(value, ensure_ascii=ascii).encode(), "{}") == value


@given(st.dictionaries(st.text(max_size=4), VALUES, min_size=1, max_size=3), VALUES, st.data())
@settings(max_examples=150, deadline=None)
def test_a_name_that_comes_twice_is_refused_at_any_depth(fields, other, data):
    name = data.draw(st.sampled_from(sorted(fields)))
    parts = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in fields.items()]
    place = data.draw(st.integers(0, len(parts)))
    # Spelled otherwise, it is the same name.
    spelled = "".join(f"\\u{ord(x):04x}" if ord(x) < 2**16 else x for x in name)
    parts.insert(place, f'"{spelled}": {json.dumps(other)}')
    body = "{" + ", ".join(parts) + "}"
    for _ in range(data.draw(st.integers(0, 3))):
        body = data.draw(st.sampled_from(["[1, %s]", '{"a": %s, "b": 2}'])) % body
    with pytest.raises(InvalidInput) as raised:
        read_json(body.encode(), "THIS")
    assert str(raised.value).startswith("Expected every name once in a JSON object, as in THIS.")
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": Infinity}', "not JSON"),
        (b'{"a": 1e999}', "not JSON"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        ('{"a": "ä"}'.encode("utf-16"), "not JSON"),
        (b'{"a": "\x00"}', "control character"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b'{"a": %b}' % (b"9" * 100_000), "not JSON"),
        (b'{"a":' * 1001 + b"1" + b"}" * 1001, "too deep"),
    ],
)
def test_what_is_not_strictly_json(body, words):
    with pytest.raises(InvalidInput, match="Expected THIS") as raised:
        read_json(body, "THIS")
    assert words in str(raised.value)


def test_large_numbers_are_no_hurdle():
    body = b'{"a": %b, "b": %b}' % (b"9" * 300, b"[" * 900 + b"]" * 900)
    assert read_json(body, "THIS")["a"] == pytest.approx(1e300, rel=1e-9)
