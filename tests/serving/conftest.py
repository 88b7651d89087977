import pytest
import tensorflow as tf

from tests.serving.stand_in import write_stand_in


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory):
    """A directory that holds versions 1 to 3 of a stand-in, and what is not a version.

    Version 1 is as older exports are, without the counts of tokens.
    """
    directory = tmp_path_factory.mktemp("serving") / "my_model"
    write_stand_in(directory / "1", "oldest", scores=False, counts=False)
    write_stand_in(directory / "2", "second", scores=False)
    write_stand_in(directory / "3")
    (directory / "notes").mkdir()
    return directory


@pytest.fixture(scope="session")
def signatures(model_directory):
    loaded = tf.saved_model.load(str(model_directory / "3"))

    def ask(name, texts):
        outputs = loaded.signatures[name](text=tf.constant(texts, tf.string, [len(texts)]))
        return {key: value.numpy() for key, value in outputs.items()}

    ask.loaded = loaded  # what the signatures compute with
    return ask
