"""Reads .keras files of this package, whichever of its classes they hold."""

import importlib
import json
import zipfile

import keras


def load_model(file, **kwargs):
    """Loads a .keras file as `keras.saving.load_model`, and knows every class of this package.

    Keras knows a class once its module is imported. A file names the module, so that no reader
    has to import all of them.

    Args:
        file: path of a .keras file.
        **kwargs: what else `keras.saving.load_model` takes.

    Returns:
        `keras.Model`.

    Raises:
        ValueError: if it is not a .keras file.
    """
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is not a .keras file. Name one that `save` wrote.")
    with zipfile.ZipFile(file) as archive:
        module = json.loads(archive.read("config.json")).get("module") or ""
    package, _, rest = module.partition(".")
    if package == __package__ and rest:
        # The folder, since files of earlier versions name modules that have moved within it.
        importlib.import_module(f"{package}.{rest.partition('.')[0]}")
    return keras.saving.load_model(file, **kwargs)
