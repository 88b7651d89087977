"""`keras-combiner export`."""

import contextlib
import io
import json
import types

import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.cli.main import main
from tests.cli.documents import SEQUENCE_LENGTH, labelled_texts


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory as `train` writes it, of a model that is small, and not trained."""
    directory = tmp_path_factory.mktemp("runs") / "a"
    model = LongDocumentClassifier.from_texts(
        *zip(*labelled_texts(8), strict=True),
        sequence_length=SEQUENCE_LENGTH,
        num_layers=1,
        hidden_dim=8,
        vocabulary_size=100,
        verbose=False,
    )
    directory.mkdir()
    model.save(directory / "model.keras")
    model.tokenizer.save_vocabulary(directory / "vocab.txt")
    (directory / "labels.txt").write_text("tale\nweather\n")
    return types.SimpleNamespace(directory=directory)


@pytest.fixture(scope="module")
def exported(trained, data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("out")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(
            [
                *("export", "--model", str(trained.directory), "--data", str(data)),
                *("--documents", "3", "--saved-model", str(directory / "1")),
                *("--litert", str(directory / "model.tflite"), "--quantization", "float16"),
            ]
        )
    assert code == 0
    return types.SimpleNamespace(directory=directory, printed=printed.getvalue())


@pytest.mark.slow  # README has such a line
def test_reports_both(exported):
    lines = exported.printed.splitlines()
    for name in ("1", "model.tflite"):
        path = exported.directory / name
        assert f"{path} against its model on 3 documents:" in lines
    assert exported.printed.count("| accuracy of the model |") == 2
    assert lines[-1] == f"labels.txt and vocab.txt for it in {exported.directory}"


@pytest.mark.slow  # README has such a line
def test_measures_for_a_report(trained, data, tmp_path, capsys):
    report, model = tmp_path / "report.json", tmp_path / "model.tflite"
    options = ["--data", str(data), "--documents", "4"]
    options += ["--max-accuracy-drop", "0.5", "--report", str(report)]
    command = ["export", "--model", str(trained.directory), "--litert", str(model), *options]
    assert main(command) == 0
    assert "| median latency, 2 threads |" in capsys.readouterr().out
    (figures,) = json.loads(report.read_text())
    assert (figures["path"], figures["documents"]) == (str(model), 4)
    assert figures["milliseconds_1_thread"] > 0
    assert 0 <= figures["accuracy"] <= 1


def test_a_file_that_takes_text_holds_the_vocabulary(trained, tmp_path, monkeypatch):
    _export_nothing(monkeypatch)
    command = ["export", "--model", str(trained.directory), "--input-type", "text"]
    assert main([*command, "--litert", str(tmp_path / "a.tflite")]) == 0
    assert [x.name for x in tmp_path.iterdir()] == ["labels.txt"]


def test_documents_without_labels_are_compared_only(trained, tmp_path, monkeypatch):
    seen = {}

    def export_litert(self, path, **options):
        seen.update(options)
        return "a report"

    monkeypatch.setattr("keras_combiner.LongDocumentClassifier.export_litert", export_litert)
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "rain", "label": "tale"}\n{"text": "wind"}\n')
    command = ["export", "--model", str(trained.directory), "--data", str(path)]
    assert main([*command, "--litert", str(tmp_path / "a.tflite")]) == 0
    assert seen["documents"] == ["rain", "wind"]
    assert seen["labels"] is None and seen["measure"] is False


@pytest.mark.slow
def test_writes_what_a_device_needs(exported, trained):
    names = {path.name for path in exported.directory.iterdir()}
    assert names == {"1", "model.tflite", "labels.txt", "vocab.txt"}
    for name in ("labels.txt", "vocab.txt"):
        written = (exported.directory / name).read_bytes()
        assert written == (trained.directory / name).read_bytes()


def test_refuses_what_exists(model, tmp_path, capsys):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    (tmp_path / "model.tflite").touch()
    for option, name in (("--saved-model", "1"), ("--litert", "model.tflite")):
        assert main(["export", "--model", model, option, str(tmp_path / name)]) == 1
        assert f"{name} exists. Choose another path, or" in capsys.readouterr().err


def test_the_models_own_sidecar_files_may_stay(trained, tmp_path, monkeypatch, capsys):
    # Beside the model, where train wrote them.
    _export_nothing(monkeypatch)
    own = str(trained.directory / "other.tflite")
    assert main(["export", "--model", str(trained.directory), "--litert", own]) == 0
    (tmp_path / "labels.txt").write_text("another\nmodel's\n")
    other = str(tmp_path / "model.tflite")
    assert main(["export", "--model", str(trained.directory), "--litert", other]) == 1
    assert "labels.txt exists and belongs to another model" in capsys.readouterr().err
    assert not (tmp_path / "vocab.txt").exists()

    replace = ["export", "--model", str(trained.directory), "--litert", other, "--overwrite"]
    assert main(replace) == 0
    assert (tmp_path / "labels.txt").read_text() == "tale\nweather\n"


def test_overwrite_takes_away_what_the_new_model_does_not_have(tmp_path, monkeypatch):
    _export_nothing(monkeypatch)
    texts = (["a", "b"], ["x", "y"])
    LongDocumentClassifier.from_texts(*texts, sequence_length=8, tokenizer="bytes").save(
        tmp_path / "bytes.keras"
    )
    (tmp_path / "vocab.txt").write_text("another\nmodel's\n")
    command = ["export", "--model", str(tmp_path / "bytes.keras"), "--onnx"]
    assert main([*command, str(tmp_path / "a.onnx")]) == 1
    assert main([*command, str(tmp_path / "a.onnx"), "--overwrite"]) == 0
    assert sorted(x.name for x in tmp_path.iterdir()) == ["bytes.keras", "labels.txt"]


@pytest.mark.slow
def test_calibrates_and_takes_lengths(trained, data, tmp_path, capsys):
    path = str(tmp_path / "model.tflite")
    options = ["--quantization", "int8", "--calibration-data", str(data)]
    options += ["--sequence-lengths", "16", "64", "--litert", path]
    assert main(["export", "--model", str(trained.directory), *options]) == 0
    assert capsys.readouterr().out.startswith(f"{path} against its model on ")
    from ai_edge_litert.interpreter import Interpreter

    names = Interpreter(model_path=path).get_signature_list()
    assert set(names) == {"serving_default", "serving_64", "serving_16"}


def test_first_stays_when_second_fails(model, tmp_path, monkeypatch, capsys):
    _export_nothing(monkeypatch, error=RuntimeError("LiteRT has no built-in op for: Foo."))
    saved_model, litert = str(tmp_path / "1"), str(tmp_path / "model.tflite")
    options = ["--saved-model", saved_model, "--litert", litert]
    assert main(["export", "--model", model, *options]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"a report on {saved_model}\n"
    assert captured.err.splitlines() == [
        f"keras-combiner: {saved_model} was written and stays; {litert} was not",
        "keras-combiner: error: LiteRT has no built-in op for: Foo.",
    ]
    assert list(tmp_path.iterdir()) == []  # nor any sidecar file


def test_what_goes_with_an_onnx_file(model, tmp_path, monkeypatch, capsys):
    _export_nothing(monkeypatch)
    text, onnx = str(tmp_path / "a.tflite"), str(tmp_path / "a.onnx")
    options = ["--litert", text, "--input-type", "text", "--onnx", onnx]
    assert main(["export", "--model", model, *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        *(f"a report on {text}", "", f"labels.txt for it in {tmp_path}", ""),
        *(f"a report on {onnx}", "", f"labels.txt and vocab.txt for it in {tmp_path}"),
    ]
    assert sorted(x.name for x in tmp_path.iterdir()) == ["labels.txt", "vocab.txt"]


def test_lays_versions_out_for_tf_serving(model, tmp_path, monkeypatch, capsys):
    made = []

    def export(classifier, directory, version, **options):
        made.append((directory, version, options["overwrite"]))
        return "a report"

    monkeypatch.setattr("keras_combiner.export.export_for_tf_serving", export)
    directory = tmp_path / "serving" / "my_model"
    (directory / "7").mkdir(parents=True)
    for path, *options in ((directory,), (directory / "8",), (directory / "7", "--overwrite")):
        line = ["export", "--model", model, "--saved-model", str(path), "--tf-serving"]
        assert main([*line, *options]) == 0
    assert made == [(directory, None, False), (directory, 8, False), (directory, 7, True)]
    assert capsys.readouterr().out.splitlines() == ["a report"] * 3


def test_overwrite_spares_a_directory_of_other_files(model, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    options = ["--saved-model", str(tmp_path), "--overwrite"]
    assert main(["export", "--model", model, *options]) == 1
    assert "holds other files than a SavedModel" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


def _export_nothing(monkeypatch, error=None):
    """Has the export functions, which have tests of their own, only say that they were called."""

    def export_litert(self, path, **kwargs):
        if error:
            raise error
        return f"a report on {path}"

    monkeypatch.setattr(LongDocumentClassifier, "export_litert", export_litert)
    for name in ("export_saved_model", "export_onnx"):
        monkeypatch.setattr(
            LongDocumentClassifier, name, lambda self, path, **_: f"a report on {path}"
        )


BAD = {
    "nothing to export": ("export --model {model}", "Give --saved-model, --litert or --onnx."),
    "quantized SavedModel": (
        "export --model {model} --saved-model o --quantization float16",
        "--quantization is for a .tflite file. Give --litert too.",
    ),
    "calibrated SavedModel": (
        "export --model {model} --saved-model o --calibration-data good.jsonl",
        "--calibration-data is for a .tflite file. Give --litert too.",
    ),
    "SavedModel of several lengths": (
        "export --model {model} --saved-model o --sequence-lengths 16 32",
        "--sequence-lengths is for a .tflite file. Give --litert too.",
    ),
    "nothing to calibrate on": (
        "export --model {model} --litert o.tflite --quantization int8",
        "'int8' needs `calibration_data`",
    ),
    "length beyond the model's": (
        "export --model {model} --litert o.tflite --sequence-lengths 16 1000000",
        "`sequence_lengths` must be different ints from 3 to",
    ),
    "SavedModel takes text anyway": (
        "export --model {model} --saved-model o --input-type text",
        "--input-type is for a .tflite file. Give --litert too.",
    ),
    "a gate without documents": (
        "export --model {model} --litert o.tflite --max-accuracy-drop 0.1",
        "--max-accuracy-drop needs documents with labels. Give --data too.",
    ),
    "a gate without labels": (
        "export --model {model} --litert o.tflite --data no_labels.jsonl --max-accuracy-drop 0.1",
        "no_labels.jsonl:1: no field 'label'",
    ),
    "labels of another model": (
        "export --model {model} --litert o.tflite --data other_labels.jsonl",
        "unknown label 'sonnet'. Nearest of the 2 labels that are known: 'tale', 'weather'.",
    ),
    "report is a directory": (
        "export --model {model} --litert o.tflite --report empty",
        "empty is a directory. Name a file for --report.",
    ),
    "a layout of nothing": (
        "export --model {model} --litert o.tflite --tf-serving",
        "--tf-serving says how to lay out --saved-model. Give it too.",
    ),
    "a SavedModel for a model's directory": (
        "export --model {model} --saved-model served --tf-serving",
        "served is a SavedModel. --tf-serving wants the directory of its versions.",
    ),
    "a name that no address can hold": (
        "export --model {model} --saved-model bad:name --tf-serving",
        "Received: 'bad:name'",
    ),
    "no .tflite": ("export --model {model} --litert o", "--litert must end in .tflite"),
    "no .onnx": ("export --model {model} --onnx o", "--onnx must end in .onnx"),
    "ONNX is a directory": (
        "export --model {model} --onnx folder.onnx --overwrite",
        "folder.onnx is a directory. --onnx makes a file.",
    ),
    "SavedModel is a file": (
        "export --model {model} --saved-model good.jsonl --overwrite",
        "good.jsonl is a file",
    ),
    "LiteRT is a directory": (
        "export --model {model} --litert folder.tflite --overwrite",
        "folder.tflite is a directory",
    ),
    "no documents to compare on": (
        "export --model {model} --litert o.tflite --data nix.csv",
        "nix.csv",
        "No such file or directory",
    ),
}


@pytest.mark.parametrize(("line", "words"), [(x[0], x[1:]) for x in BAD.values()], ids=list(BAD))
def test_bad_input_is_one_line_and_leaves_nothing(line, words, refused):
    message = refused(line)
    for word in words:
        assert word in message
