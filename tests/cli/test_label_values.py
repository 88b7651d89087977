"""LABEL=VALUE on the command line: how it is read, and which labels are meant."""

import argparse
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_combiner.cli import class_weights, thresholds
from keras_combiner.cli.arguments import probability
from keras_combiner.cli.label_values import by_name, joined, label_value, weight
from keras_combiner.tasks import MultiLabel, SingleLabel


@given(st.text().filter(str.strip), st.sampled_from(["0", "1.5", "1e3"]))
def test_the_last_equals_sign_divides_whatever_the_label_holds(label, number):
    assert label_value(weight, whole=str)(f"{label}={number}") == (label, float(number))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=b==0.5", ("a=b=", 0.5)),
        ("a =0.5", ("a ", 0.5)),
        ("0.5=0.25", ("0.5", 0.25)),
        ("0.5", (None, 0.5)),
    ],
)
def test_thresholds(line, expected):
    assert label_value(probability, whole=probability)(line) == expected


@pytest.mark.parametrize("line", ["a=", "a=b", "=0.5", " =0.5", "a=nan", "a=0.5=", "a", ""])
def test_what_is_neither_is_refused(line):
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        label_value(probability, whole=probability)(line)


@pytest.mark.parametrize("number", ["-1", "nan", "inf", "1e39", "x", ""])
def test_what_is_not_a_weight(number):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a finite number >= 0"):
        weight(number)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("a", 1.0), ("b", 2.0), ("a", 1.0)], "--x has two values for the label 'a': 1.0 and 1.0"),
        ([(None, 0.5), ("a", 0.1), (None, 0.6)], "--x has two values for all labels: 0.5 and 0.6"),
    ],
)
def test_two_values_are_refused(pairs, words):
    with pytest.raises(ValueError, match=words):
        joined("--x", pairs)


@pytest.mark.parametrize(
    ("given", "names", "name"),
    [
        ("1.0", ["1", "2"], "1"),  # the rule of cells in files that hold text alone
        ("TRUE", ["False", "True"], "True"),
        ("1.0", ["1", "1.0"], "1.0"),  # but as it stands if there is one
        ("Mu\u0308ller", ["M\u00fcller"], "M\u00fcller"),
        ("nan", ["nan", "tale"], "nan"),
        ("tale ", ["tale", "tale "], "tale "),  # class folders may be called so
        ("True", ["true"], "true"),  # of a model from before the rule
    ],
)
def test_labels_are_read_as_those_of_files(given, names, name):
    assert by_name("--x", {given: 2.0}, names) == {name: 2.0}


@pytest.mark.parametrize("label", ["tales", "nan", "tale "])
def test_an_unknown_label_is_refused_with_the_nearest(label):
    with pytest.raises(ValueError, match=rf"--x: unknown label '{label}'\. .* 'tale'"):
        by_name("--x", {label: 2.0}, ["tale", "weather"])


def test_one_label_in_two_spellings_is_refused():
    with pytest.raises(ValueError, match=r"two values for the label '1': 2\.0 and 3\.0"):
        by_name("--x", {"1": 2.0, "1.0": 3.0}, ["1", "2"])


def threshold_of(task, names, *pairs):
    return thresholds.threshold_of(types.SimpleNamespace(threshold=list(pairs)), task, names)


def test_thresholds_of_several_labels():
    several, names = MultiLabel(thresholds=[0.25, 0.75]), ["a", "b"]
    assert threshold_of(several, names) is None
    assert threshold_of(several, names, (None, 0.5)) == 0.5
    one = threshold_of(several, names, ("b", 0.125))
    assert several.with_threshold(one, names).thresholds == [0.25, 0.125]
    for pairs in ([(None, 0.5), ("b", 0.125)], [("b", 0.125), (None, 0.5)]):
        both = threshold_of(several, names, *pairs)
        assert several.with_threshold(both, names).thresholds == [0.5, 0.125]


def test_a_single_label_has_one_threshold():
    one, names = SingleLabel(), ["a", "b"]
    assert threshold_of(one, names, (None, 0.5)) == 0.5
    with pytest.raises(ValueError, match=r"have one label.*Received: {'a': 0\.5}, which is for se"):
        one.with_threshold(threshold_of(one, names, ("a", 0.5)), names)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (None, None),
        ([(None, "balanced")], "balanced"),
        ([("1.0", 2.0), ("b", 0.0)], {"1": 2.0, "b": 0.0}),
    ],
)
def test_class_weights(pairs, expected):
    arguments = types.SimpleNamespace(class_weight=pairs)
    class_weights.settle(arguments)
    assert class_weights.class_weight_of(arguments, ["1", "b", "c"]) == expected
