import numpy as np
import pytest

from keras_combiner.export import ExportReport, verification

EXPECTED = np.array([[0.6, 0.4], [0.3, 0.7], [0.5, 0.5]])


def test_compares():
    received = np.array([[0.4, 0.6], [0.3, 0.7], [0.55, 0.45]])
    report = verification.compare("somewhere", 2_500_000, EXPECTED, received)
    assert report == ExportReport("somewhere", 2_500_000, 3, pytest.approx(0.2), 2 / 3)
    assert str(report).startswith("somewhere: 2.50 MB; against the Keras model on 3 documents")
    assert "2.0e-01, same class for 66.7%" in str(report)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_an_error(value):
    received = EXPECTED.copy()
    received[1, 0] = value
    with pytest.raises(RuntimeError, match="somewhere gives values that are not finite"):
        verification.compare("somewhere", 1, EXPECTED, received)
