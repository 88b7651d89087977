"""`keras-combiner score`: a corpus through an exported SavedModel, on Apache Beam."""

import sys
from pathlib import Path

from keras_combiner.cli import arguments as shared


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "score",
        help="score a corpus of many files with an exported SavedModel, on Apache Beam",
        description=(
            "Scores every document of the shards that a pattern names. A shard NAME gives "
            "NAME.scores.jsonl with file, line, label, probabilities, tokens and truncated; "
            "NAME.bad.jsonl with file, line and reason, if records are bad; and NAME.done.json "
            "when all is there. The same command goes on where it was stopped, and does nothing "
            "to shards that are finished and unchanged."
        ),
        example="""
            keras-combiner export --model runs/a/model.keras --saved-model serving/a/1
            keras-combiner score --model serving/a --input 'shards-*.jsonl.gz' --output out/
            keras-combiner score --model gs://b/a/1 --input 'gs://b/shards-*.jsonl.gz' \\
                --output gs://b/out -- --runner=DataflowRunner --project=P --region=R \\
                --temp_location=gs://b/tmp --sdk_container_image=IMAGE
        """,
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="DIR",
        help="a SavedModel, or a directory of numbered ones, as export writes them",
    )
    parser.add_argument(
        "--input",
        required=True,
        metavar="PATTERN",
        help="a file or a quoted pattern of files: .jsonl, .ndjson, .csv or .tsv (each also with "
        ".gz or .zst), .parquet or .tfrecord",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="directory of results")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="names of the classes, one a line, such as the labels.txt of an export; "
        "probabilities are named then (default: a list in the order of the classes)",
    )
    parser.add_argument(
        "--text-field",
        default="text",
        metavar="NAME",
        help="field or column that holds the text (default: %(default)s)",
    )
    shared.add_batch_size(parser)
    parser.add_argument(
        "--workers",
        type=shared.integer(1),
        default=1,
        metavar="N",
        help="processes of the direct runner, each with a model (default: %(default)s)",
    )
    parser.add_argument(
        "beam_options",
        nargs="*",
        metavar="-- BEAM_OPTION",
        help="options of Beam; --runner=DataflowRunner, FlinkRunner or SparkRunner run the same "
        "pipeline there (default: the direct runner, on this machine)",
    )
    parser.set_defaults(run=run)


def run(arguments):
    """Scores, and returns the exit code: 1 if shards have no results."""
    labels = None
    if arguments.labels:
        labels = Path(arguments.labels).read_text(encoding="utf-8").splitlines()
    from keras_combiner.scoring import score_corpus

    report = score_corpus(
        arguments.model,
        arguments.input,
        arguments.output,
        labels=labels,
        text_field=arguments.text_field,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        beam_options=arguments.beam_options,
    )
    print(
        f"{report.scored:,} documents of {report.shards:,} shards are scored in "
        f"{arguments.output} ({report.skipped:,} shards were finished before); {report.bad:,} bad "
        "records."
    )
    if not report.lost:
        return 0
    print(
        f"keras-combiner: error: {len(report.lost)} shards have no results, since every worker "
        f"that read them died: {', '.join(report.lost)}. More memory or a smaller --batch-size may "
        "help.",
        file=sys.stderr,
    )
    return 1
