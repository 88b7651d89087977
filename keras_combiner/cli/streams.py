"""Running Keras over documents that stream."""

import contextlib
import warnings


@contextlib.contextmanager
def streaming():
    """Keeps quiet about a reader's end, which Keras takes for an accident.

    A reader does not know how many documents it has. The first time that Keras reaches the end of
    such data in validation or prediction, it warns that training is interrupted, and it is not.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        yield
