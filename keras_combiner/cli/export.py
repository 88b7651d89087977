"""`keras-combiner export`: a model for TF Serving, devices and ONNX runtimes."""

import functools
import itertools
import sys
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.sidecar_files import (
    LABELS_FILE,
    THRESHOLDS_FILE,
    VOCABULARY_FILE,
    sidecar_texts,
    written_together,
)

# Spelled out, since the module that defines them imports Keras; the tests compare.
QUANTIZATIONS = ("float32", "float16", "dynamic_int8", "int8", "int4", "int16x8")
INPUT_TYPES = ("token_ids", "text")
CALIBRATION_DOCUMENTS = 100  # the ranges of activations hardly grow with more


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "export",
        help="write a SavedModel for TF Serving, a .tflite file for devices, an .onnx file",
        description=(
            "Exports a model, reads the export back and prints how far it is from the model. "
            "Beside a .tflite or .onnx file come labels.txt, thresholds.txt for a model that has "
            "some and, for word pieces, vocab.txt, which whoever runs it needs to name the classes "
            "and to make token ids. Labels in --data give accuracy."
        ),
        example="""
            keras-combiner export --model runs/a/model.keras --saved-model out/1
            keras-combiner export --model runs/a/model.keras --litert out/model.tflite \\
                --quantization dynamic_int8 --data test.jsonl --max-accuracy-drop 0.01
            keras-combiner export --model runs/a/model.keras --litert out/model.tflite \\
                --quantization int8 --calibration-data train.jsonl --sequence-lengths 512 4096
            keras-combiner export --model runs/a/model.keras --onnx out/model.onnx
            keras-combiner export --model embedder.keras --onnx out/embedder.onnx
            keras-combiner export --model runs/a/model.keras --saved-model serving/a --tf-serving
            docker compose -f serving/compose.yaml up
        """,
    )
    shared.add_model(parser)
    parser.add_argument(
        "--saved-model",
        metavar="DIR",
        help="SavedModel directory to make; TF Serving expects a number as its name",
    )
    parser.add_argument(
        "--tf-serving",
        action="store_true",
        help="--saved-model DIR is a model's directory, where the SavedModel becomes the next "
        "version, DIR/1 and so on (or DIR/NUMBER, that version); it gets warm-up requests, and "
        "models.config, batching.config and compose.yaml appear beside DIR",
    )
    parser.add_argument("--litert", metavar="FILE", help="file to make, ending in .tflite")
    parser.add_argument(
        "--onnx",
        metavar="FILE",
        help="file to make, ending in .onnx, of token ids and float32",
    )
    parser.add_argument(
        "--quantization",
        choices=QUANTIZATIONS,
        help="of --litert: float32; float16, half the size; dynamic_int8, a quarter of it; int8, "
        "for accelerators of integers; int4, smaller still; int16x8, int8 with finer activations "
        "(default: float32)",
    )
    parser.add_argument(
        "--calibration-data",
        metavar="PATH",
        help="documents like those to come, for int8 and int16x8; formats as for --data, the first "
        f"{CALIBRATION_DOCUMENTS} are read",
    )
    parser.add_argument(
        "--sequence-lengths",
        type=shared.integer(1),
        nargs="+",
        metavar="N",
        help="lengths of documents that --litert takes, each as a signature of its own over the "
        "same weights (default: the model's sequence_length)",
    )
    parser.add_argument(
        "--input-type",
        choices=INPUT_TYPES,
        help="of --litert: token_ids; or text, with the tokenizer in the file, for runtimes that "
        "have the operations of tensorflow-text (default: token_ids)",
    )
    parser.add_argument(
        "--data",
        metavar="PATH",
        help=f"documents to compare on, with or without labels: {shared.FORMATS} (default: texts "
        "that ship with the package)",
    )
    parser.add_argument(
        "--documents",
        type=shared.integer(1),
        default=100,
        metavar="N",
        help="how many documents of --data to compare on, the first ones (default: %(default)s)",
    )
    parser.add_argument(
        "--max-accuracy-drop",
        type=shared.fraction,
        metavar="SHARE",
        help="write nothing if accuracy on --data is less than the model's by more than this, "
        "0.01 being one document in a hundred (default: no limit)",
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="measure latency and memory too, and write all figures to FILE as JSON, replacing it",
    )
    shared.add_data_fields(parser)
    shared.add_overwrite(parser, "what there is at --saved-model, --litert and --onnx")
    parser.set_defaults(run=run)


def run(arguments):
    """Exports, and returns the exit code."""
    _check(arguments)
    documents, labels = _documents_and_labels(
        arguments, arguments.data, arguments.documents, arguments.max_accuracy_drop is not None
    )
    calibration_data, _ = _documents_and_labels(
        arguments, arguments.calibration_data, CALIBRATION_DOCUMENTS
    )
    classifier = shared.load_model(
        arguments.model, "LongDocumentClassifier", "LongDocumentEmbedder"
    )
    options = {
        "documents": documents,
        "labels": labels,
        "max_accuracy_drop": arguments.max_accuracy_drop,
        "measure": arguments.report is not None,
        "overwrite": arguments.overwrite,
        "verbose": False,
    }
    exports = _exports(classifier, arguments, calibration_data, options)
    reports = {}
    for path, export in exports.items():
        try:
            report, note = export()
        except BaseException:
            for written in reports:
                print(
                    f"keras-combiner: {written} was written and stays; {path} was not",
                    file=sys.stderr,
                )
            raise
        if reports:
            print()
        print(f"{report}{note}", flush=True)
        reports[path] = report
    if arguments.report:
        from keras_combiner.export import write_reports

        write_reports(list(reports.values()), arguments.report)
    return 0


def _exports(classifier, arguments, calibration_data, options):
    """What to write: path -> function that writes it, and returns a report and what to add to it.

    What cannot be written because of other files is refused before the first of them.
    """
    exports = {}
    if arguments.saved_model:
        exports[arguments.saved_model] = lambda: (
            _export_saved_model(classifier, arguments, options),
            "",
        )
    if arguments.litert:
        input_type = arguments.input_type or "token_ids"
        export = functools.partial(
            classifier.export_litert,
            quantization=arguments.quantization or "float32",
            calibration_data=calibration_data,
            sequence_lengths=arguments.sequence_lengths,
            input_type=input_type,
            **options,
        )
        exports[arguments.litert] = _with_sidecar_files(
            classifier, export, arguments.litert, arguments.overwrite, input_type
        )
    if arguments.onnx:
        export = functools.partial(classifier.export_onnx, **options)
        exports[arguments.onnx] = _with_sidecar_files(
            classifier, export, arguments.onnx, arguments.overwrite
        )
    return exports


def _with_sidecar_files(classifier, export, path, overwrite, input_type="token_ids"):
    """A function that exports to `path` and writes what goes with it, all of it or nothing."""
    directory, sidecar_files = Path(path).parent, sidecar_texts(classifier)
    unused = {LABELS_FILE, THRESHOLDS_FILE, VOCABULARY_FILE} - set(sidecar_files)
    if not overwrite:
        _refuse_existing(unused, path)
    if input_type == "text":
        sidecar_files.pop(VOCABULARY_FILE, None)  # it is in the file
    to_write = sidecar_files if overwrite else _missing(sidecar_files, path)

    def run():
        with written_together(directory, to_write):
            report = export(path)
        for name in unused:  # files of the model that this one replaces
            (directory / name).unlink(missing_ok=True)
        also = f"\n\n{' and '.join(sidecar_files)} for it in {directory}" if sidecar_files else ""
        return report, also

    return run


def _export_saved_model(classifier, arguments, options):
    if not arguments.tf_serving:
        return classifier.export_saved_model(arguments.saved_model, **options)
    from keras_combiner.export import export_for_tf_serving

    directory, version = _model_and_version(arguments.saved_model)
    return export_for_tf_serving(classifier, directory, version, **options)


def _model_and_version(saved_model):
    """Splits DIR/NUMBER; the version of a DIR alone is None."""
    path = Path(saved_model)
    if path.name.isascii() and path.name.isdigit():
        return path.parent, int(path.name)
    return path, None


def _check(arguments):
    """Refuses wrong arguments before TensorFlow is imported."""
    if not any((arguments.saved_model, arguments.litert, arguments.onnx)):
        raise ValueError("There is nothing to export to. Give --saved-model, --litert or --onnx.")
    for name in ("quantization", "calibration_data", "sequence_lengths", "input_type"):
        if getattr(arguments, name) and not arguments.litert:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is for a .tflite file. Give --litert too.")
    if arguments.max_accuracy_drop is not None and not arguments.data:
        raise ValueError("--max-accuracy-drop needs documents with labels. Give --data too.")
    if arguments.report and Path(arguments.report).is_dir():
        raise IsADirectoryError(f"{arguments.report} is a directory. Name a file for --report.")
    if arguments.litert and not arguments.litert.endswith(".tflite"):
        raise ValueError(f"--litert must end in .tflite. Received: {arguments.litert}")
    if arguments.onnx and not arguments.onnx.endswith(".onnx"):
        raise ValueError(f"--onnx must end in .onnx. Received: {arguments.onnx}")
    if arguments.tf_serving and not arguments.saved_model:
        raise ValueError("--tf-serving says how to lay out --saved-model. Give it too.")
    shared.check_model(arguments.model)
    saved_model = arguments.saved_model
    if arguments.tf_serving and _model_and_version(saved_model)[1] is None:
        if (Path(saved_model) / "saved_model.pb").exists():
            raise FileExistsError(
                f"{saved_model} is a SavedModel. --tf-serving wants the directory of its versions."
            )
        saved_model = None  # a model's directory, which gets a version that is not there yet
    for path in filter(None, (saved_model, arguments.litert, arguments.onnx)):
        if Path(path).exists() and not arguments.overwrite:
            raise FileExistsError(
                f"{path} exists. Choose another path, or replace it with --overwrite."
            )
    # Replacing a directory removes all that is in it: only an export is replaced.
    if saved_model and Path(saved_model).exists():
        directory = Path(saved_model)
        if not directory.is_dir():
            raise NotADirectoryError(f"{directory} is a file. --saved-model makes a directory.")
        if any(directory.iterdir()) and not (directory / "saved_model.pb").is_file():
            raise FileExistsError(
                f"{directory} holds other files than a SavedModel, which --overwrite would remove. "
                "Choose another path."
            )
    for name in ("litert", "onnx"):
        path = getattr(arguments, name)
        if path and Path(path).is_dir():
            raise IsADirectoryError(f"{path} is a directory. --{name} makes a file.")


def _documents_and_labels(arguments, path, most, require_labels=False):
    """The first texts at `path` and their labels; None where there are none."""
    if not path:
        return None, None
    from keras_combiner.datasets import read_documents

    reader = read_documents(
        path,
        **shared.data_options(arguments),
        # Without them there is still a comparison; accuracy cannot do without.
        require_labels=require_labels,
    )
    documents = list(itertools.islice(reader, most))
    labels = [document.label for document in documents]
    return [document.text for document in documents], None if None in labels else labels


def _missing(texts, export):
    """Those of the files that are not there yet; others must hold the same, as train's do."""
    missing = {}
    for name, text in texts.items():
        path = Path(export).with_name(name)
        if not path.exists():
            missing[name] = text
        elif not path.is_file() or path.read_bytes() != text.encode("utf-8"):
            raise _other_model_error(path, export)
    return missing


def _refuse_existing(names, export):
    """Raises a FileExistsError for files beside an export that its model does not have."""
    for name in sorted(names):
        path = Path(export).with_name(name)
        if path.exists():
            raise _other_model_error(path, export)


def _other_model_error(path, export):
    return FileExistsError(
        f"{path} exists and belongs to another model. Choose another place for {export}, "
        "or replace it with --overwrite."
    )
