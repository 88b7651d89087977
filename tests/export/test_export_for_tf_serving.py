"""Numbered versions, warm-up requests and configuration, as TF Serving reads them."""

import re
import sys

import pytest
import tensorflow as tf
import yaml
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from keras_combiner.export import export_for_tf_serving, export_saved_model, next_version

CONFIGURATION = {"models.config", "batching.config", "compose.yaml"}


@pytest.fixture(scope="module")
def serving(byte_classifier, tmp_path_factory):
    """Where a model has been exported. Tests must not change it."""
    serving = tmp_path_factory.mktemp("serving")
    export_for_tf_serving(byte_classifier, serving / "my_model", documents=["a"], verbose=False)
    return serving


@pytest.fixture
def nothing_exported(monkeypatch):
    """Has the SavedModel, which has tests of its own, be an empty directory."""

    def export(classifier, path, **options):
        path.mkdir(parents=True)
        return f"a report on {path}"

    monkeypatch.setattr("keras_combiner.export.tf_serving.export_saved_model", export)


def served_models(serving):
    text = (serving / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    return {model.name: model.base_path for model in config.model_config_list.config}


def test_the_layout(serving):
    assert {x.name for x in serving.iterdir()} == {"my_model", *CONFIGURATION}
    assert {x.name for x in (serving / "my_model").iterdir()} == {"1"}
    assert served_models(serving) == {"my_model": "/models/my_model"}


def test_the_warm_up_requests_are_answered(serving, byte_classifier):
    path = serving / "my_model" / "1"
    signatures = tf.saved_model.load(str(path)).signatures
    records = tf.data.TFRecordDataset(str(path / "assets.extra" / "tf_serving_warmup_requests"))
    lengths = {}
    for record in records.as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(x)) for key, x in request.inputs.items()}
        outputs = signatures[name](**inputs)
        assert outputs["probabilities"].shape == (1, len(byte_classifier.labels))
        if "text" in inputs:
            ids = byte_classifier.tokenizer.encode(inputs["text"], 1000)
        else:
            ids = tf.RaggedTensor.from_tensor(inputs["token_ids"], padding=0)
        lengths.setdefault(name, []).append(int(ids.row_lengths()[0]))
    assert set(lengths) == {"serving_default", "serving_token_ids", "serving_scores"}
    for empty, longest in lengths.values():
        assert empty == 2
        assert longest >= byte_classifier.sequence_length


def test_the_batching_parameters_are_what_the_server_wants(serving):
    text = (serving / "batching.config").read_text()
    sizes = [int(x) for x in re.findall(r"^allowed_batch_sizes: (\d+)$", text, re.MULTILINE)]
    largest = int(re.search(r"^max_batch_size { value: (\d+) }$", text, re.MULTILINE)[1])
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == largest
    assert "pad_variable_length_inputs: true" in text


def test_the_compose_file_serves_this_directory(serving):
    compose = yaml.safe_load((serving / "compose.yaml").read_text())
    (service,) = compose["services"].values()
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", service["image"])
    (volume,) = service["volumes"]
    host, mount, mode = volume.split(":")
    assert (host, mode) == (".", "ro")
    flags = dict(x.removeprefix("--").partition("=")[::2] for x in service["command"])
    for flag in ("model_config_file", "batching_parameters_file"):
        assert (serving / flags[flag].removeprefix(f"{mount}/")).is_file()
    assert all(x.startswith(f"{mount}/") for x in served_models(serving).values())
    assert all(x.startswith("127.0.0.1:") for x in service["ports"])


def test_next_version(tmp_path):
    assert next_version(tmp_path / "nix") == 1
    for name in ("3", "20", "1.tmp-0a", "latest", "²", "-4"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").write_text("no version")
    assert next_version(tmp_path) == 21


def test_a_version_of_ones_own(byte_classifier, tmp_path, nothing_exported):
    export_for_tf_serving(byte_classifier, tmp_path / "my_model", version=7)
    export_for_tf_serving(byte_classifier, tmp_path / "my_model")
    assert {x.name for x in (tmp_path / "my_model").iterdir()} == {"7", "8"}


@pytest.mark.parametrize("version", [0, -1, "2", 1.0, True])
def test_a_version_is_a_positive_int(byte_classifier, tmp_path, version):
    with pytest.raises(ValueError, match=r"int of at least 1\. Received: "):
        export_for_tf_serving(byte_classifier, tmp_path / "my_model", version=version)
    assert not list(tmp_path.iterdir())


def test_a_version_that_exists_is_kept(byte_classifier, serving):
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export_for_tf_serving(byte_classifier, serving / "my_model", version=1)


@pytest.mark.parametrize("name", ["a b", "a:predict", "ä", ".."])
def test_a_name_that_no_address_can_hold_is_refused(byte_classifier, tmp_path, name):
    with pytest.raises(ValueError, match="Received: "):
        export_for_tf_serving(byte_classifier, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_second_model_is_added_and_ones_own_settings_stay(
    byte_classifier, tmp_path, nothing_exported
):
    export_for_tf_serving(byte_classifier, tmp_path / "a")
    mine = {"batching.config": "max_batch_size { value: 3 }\n", "compose.yaml": "services: {}\n"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    models = (tmp_path / "models.config").read_text().replace("/models/a", "/elsewhere/a")
    (tmp_path / "models.config").write_text(f"# mine\n{models}")

    export_for_tf_serving(byte_classifier, tmp_path / "a")
    assert (tmp_path / "models.config").read_text().startswith("# mine\n")
    export_for_tf_serving(byte_classifier, tmp_path / "b")
    assert served_models(tmp_path) == {"a": "/elsewhere/a", "b": "/models/b"}
    assert {name: (tmp_path / name).read_text() for name in mine} == mine


def test_a_broken_models_config_is_not_touched(byte_classifier, tmp_path):
    (tmp_path / "models.config").write_text("model_config_list: [nonsense")
    with pytest.raises(ValueError, match=r"models\.config is not a configuration.*Fix or"):
        export_for_tf_serving(byte_classifier, tmp_path / "my_model")
    assert [x.name for x in tmp_path.iterdir()] == ["models.config"]


@pytest.mark.parametrize(
    "where",
    [
        "keras_combiner.export.tf_serving.export_saved_model",
        pytest.param(
            "keras_combiner.export.saved_model.write_warmup_requests", marks=pytest.mark.slow
        ),
    ],
)
def test_a_failure_leaves_nothing_behind(where, byte_classifier, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise OSError("No space left")

    monkeypatch.setattr(where, fail)
    with pytest.raises(OSError, match="No space left"):
        export_for_tf_serving(byte_classifier, tmp_path / "my_model", documents=["a"])
    assert not [x for x in tmp_path.rglob("*") if x.is_file()]


def test_a_missing_extra_is_named(byte_classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis.prediction_log_pb2", None)
    with pytest.raises(ImportError, match=r"keras_combiner\[serving\]"):
        export_for_tf_serving(byte_classifier, tmp_path / "my_model")
    with pytest.raises(ImportError, match=r"keras_combiner\[serving\]"):
        export_saved_model(byte_classifier, tmp_path / "1", warmup=True)
    assert not list(tmp_path.iterdir())
