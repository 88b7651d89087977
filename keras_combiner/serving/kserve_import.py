"""Imports KServe first of all, in the one place that says what to do where it is missing."""

import sys
import warnings

# kserve reads the arguments of the process as it is imported: those of its own programs, not ours.
_arguments, sys.argv = sys.argv, sys.argv[:1]
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what its own dependencies have since deprecated
        import kserve
        import kserve.model_server
except ImportError as error:
    raise ImportError(
        "The server is built on kserve: pip install 'keras_combiner[server]'. "
        f"The import said: {error}"
    ) from error
finally:
    sys.argv = _arguments

__all__ = ["kserve"]
