import pytest

from keras_combiner import LongDocumentClassifier
from tests.batches.small import SMALL


@pytest.fixture(scope="module")
def classifier():
    """Untrained, of the labels "a" and "b". Tests must not change it."""
    return LongDocumentClassifier.from_texts(["x", "y"], ["a", "b"], **SMALL)
