import json
import subprocess
import sys

import numpy as np
import pytest

from keras_combiner.export import ExportReport, runners, verification, write_reports

EXPECTED = np.array([[0.6, 0.4], [0.3, 0.7], [0.5, 0.5]])


def test_compares():
    received = np.array([[0.4, 0.6], [0.3, 0.7], [0.55, 0.45]])
    report = verification.compare("somewhere", 2_500_000, EXPECTED, received)
    assert report == ExportReport("somewhere", 2_500_000, 3, pytest.approx(0.2), 2 / 3)
    assert str(report).splitlines() == [
        "somewhere against its model on 3 documents:",
        "",
        "| figure | value |",
        "| --- | --- |",
        "| size | 2.50 MB |",
        "| largest difference of a probability | 2.0e-01 |",
        "| same class | 66.7% |",
    ]


def test_counts_what_both_get_right():
    received = np.array([[0.4, 0.6], [0.3, 0.7], [0.45, 0.55]])
    report = verification.compare("somewhere", 1, EXPECTED, received, np.array([0, 1, 1]))
    assert (report.accuracy, report.model_accuracy) == (2 / 3, 2 / 3)
    assert report.agreement == 1 / 3
    assert "| accuracy | 0.667 |\n| accuracy of the model | 0.667 |" in str(report)


def of_names(names):
    return np.eye(2)[names]


@pytest.mark.parametrize(("allowed", "passes"), [(0.0, False), (0.0099, False), (0.01, True)])
def test_the_gate(allowed, passes):
    # 0.90 - 0.89 is more than 0.01 in floating point; one document in a hundred is not.
    truth = np.zeros(100, int)
    expected = of_names([0] * 90 + [1] * 10)
    received = of_names([0] * 89 + [1] * 11)
    arguments = ("somewhere", 1, expected, received, truth)
    if passes:
        report = verification.compare(*arguments, max_accuracy_drop=allowed)
        assert (report.accuracy, report.model_accuracy) == (0.89, 0.90)
    else:
        words = (
            "somewhere loses too much accuracy: 0.8900 on 100 documents, the model 0.9000. That is "
            f"0.0100 less; max_accuracy_drop={allowed} .*Nothing was written"
        )
        with pytest.raises(RuntimeError, match=words):
            verification.compare(*arguments, max_accuracy_drop=allowed)


def test_a_better_export_passes_the_strictest_gate():
    truth = np.zeros(2, int)
    report = verification.compare(
        "somewhere", 1, of_names([0, 1]), of_names([0, 0]), truth, max_accuracy_drop=0
    )
    assert report.accuracy == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_an_error(value):
    received = EXPECTED.copy()
    received[1, 0] = value
    with pytest.raises(RuntimeError, match="somewhere returns values that are not finite"):
        verification.compare("somewhere", 1, EXPECTED, received)


def test_an_export_of_something_else_is_refused():
    with pytest.raises(ValueError, match=r"probabilities, value or embedding.* with logits, x\."):
        runners.run_each(lambda document: {"logits": EXPECTED, "x": EXPECTED}, [b"rain"])


def test_reports_are_written_as_json(tmp_path):
    path = tmp_path / "report.json"
    report = verification.compare("somewhere", 7, EXPECTED, EXPECTED, np.array([0, 1, 0]))
    write_reports([report, report], path)
    first, second = json.loads(path.read_text())
    assert first == second
    assert ExportReport(**first) == report
    assert first["milliseconds_1_thread"] is None


def test_a_process_that_fails_says_why(tmp_path):
    report = verification.compare("somewhere", 7, EXPECTED, EXPECTED)
    (tmp_path / "model.tflite").write_bytes(b"not a model")
    words = "somewhere cannot be run in a process of its own; nothing was written.*ValueError"
    with pytest.raises(RuntimeError, match="(?s)" + words):
        verification.measured(
            report, "token_ids", tmp_path / "model.tflite", np.zeros((1, 4), "int32")
        )


def test_the_program_imports_what_a_device_has_and_no_more():
    program = (
        "import runpy, sys\n"
        "runpy.run_path(sys.argv[1])['import_litert']()\n"
        "print([x for x in ('tensorflow', 'keras', 'keras_combiner') if x in sys.modules])"
    )
    command = [sys.executable, "-P", "-c", program, runners.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
