"""`keras-combiner embed`: a vector for every document."""

import functools
import glob
import hashlib
import itertools
import warnings
from pathlib import Path

from keras_combiner.cli import arguments as shared
from keras_combiner.cli.label_counts import documents_in
from keras_combiner.cli.reading_progress import ReadingProgress
from keras_combiner.version import __version__

ENDINGS = (".npy", ".parquet")
# Spelled out, since the module that defines them imports Keras; the tests compare.
LONG_TEXTS = ("truncate", "windows")
SEQUENCE_LENGTH = 4096
# Files of a directory of weights that embeddings depend on.
MODEL_FILES = (".json", ".txt", ".safetensors")
# Documents that are embedded before they are kept: what an interruption loses at most.
PART = 256


def add_parser(subparsers):
    """Adds the subcommand to the command line."""
    parser = shared.add_command(
        subparsers,
        "embed",
        help="make a vector of every document, to search and compare them",
        description=(
            "Embeds documents and writes their vectors, in their order, to a .npy file (an array "
            "of float32) or a .parquet file (with the file and line of each document). The file "
            "appears when all documents are embedded; the same command goes on where it was "
            "stopped."
        ),
        example="""
            keras-combiner embed --model embedder.keras --data papers.jsonl --output papers.npy
            keras-combiner embed --model all-MiniLM-L6-v2/ --data letters/ --output letters.parquet
        """,
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="PATH",
        help="a .keras file that LongDocumentEmbedder.save wrote; or a directory of "
        "sentence-transformers or Hugging Face, with config.json and model.safetensors",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="PATH",
        help="a directory, of which every file is a document; a text file; .jsonl, .ndjson, .csv "
        "or .tsv (each also with .gz or .zst), .parquet or .tfrecord, whose labels are not looked "
        "at; or a quoted pattern of files",
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="file to make, ending in .npy or .parquet"
    )
    shared.add_text_field(parser)
    parser.add_argument(
        "--long-texts",
        choices=LONG_TEXTS,
        help="how documents are read that are longer than the model reads: truncated, or in "
        "overlapping windows, whose vectors are averaged (default: as the .keras file says; of a "
        "directory, truncate)",
    )
    directory = parser.add_argument_group("for a directory")
    directory.add_argument(
        "--sequence-length",
        type=shared.integer(3),
        metavar="N",
        help=f"the longest document, in tokens (default: {SEQUENCE_LENGTH:,})",
    )
    directory.add_argument(
        "--block-size",
        type=shared.integer(1),
        metavar="N",
        help="tokens of a block of the attention; with at least --sequence-length, vectors are "
        "those of full attention (default: 64)",
    )
    directory.add_argument(
        "--truncate-dim",
        type=shared.integer(1),
        metavar="N",
        help="how many numbers of a vector are kept (default: as the directory says, or all)",
    )
    shared.add_batch_size(parser)
    shared.add_overwrite(parser, "what there is at --output")
    parser.set_defaults(run=run)


def run(arguments):
    """Embeds, and returns the exit code."""
    from keras_combiner.atomic_files import refuse_existing
    from keras_combiner.datasets import read_texts
    from keras_combiner.file_lock import FileLock

    output = Path(arguments.output)
    _check(arguments, output)
    refuse_existing(output, arguments.overwrite)
    documents = read_texts(arguments.data, arguments.text_field)
    total = sum(1 for _ in _located(documents))  # an error in the last file shows at once
    if total == 0:
        raise ValueError(f"{arguments.data}: there is no document in it.")
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output.with_name(f"{output.name}.lock"), "embeds documents for this file")
    lock.acquire()
    try:
        figures = _embed(arguments, output, documents, total)
    finally:
        lock.release()
    print(_summary(figures, output))
    return 0


def _embed(arguments, output, documents, total):
    """Writes the output, and returns figures about the documents, a dict."""
    from keras_combiner.cli.embedding_files import write_embeddings
    from keras_combiner.cli.embedding_parts import EmbeddingParts, read_part

    parts = EmbeddingParts(output, _stamp(arguments))
    embedder, made, figures = None, [], []
    progress = ReadingProgress(total)
    rows = _located(documents)
    while some := list(itertools.islice(rows, PART)):
        number = len(made)
        part = parts.find(number, some)
        if part is None:
            if embedder is None:
                embedder = _load(arguments)
            show = functools.partial(_show, progress, number * PART)
            part = parts.keep(number, some, *_embedded(embedder, some, arguments.batch_size, show))
        made.append(part)
        figures.append(read_part(part)[2])
    progress.close()
    write_embeddings(output, made, arguments.overwrite)
    parts.remove()
    return _total(figures)


def _show(progress, before, count):
    progress(before + count)


def _embedded(embedder, some, batch_size, show):
    """The embeddings of pairs of place and text, and figures about them."""
    import keras

    from keras_combiner.models.not_finite_error import NotFiniteError, refuse_not_finite
    from keras_combiner.text.unknown_tokens import UnknownTokensWarning

    callback = keras.callbacks.LambdaCallback(
        on_predict_batch_end=lambda batch, logs: show(min((batch + 1) * batch_size, len(some)))
    )
    with warnings.catch_warnings():
        # It would name documents by their place in the part.
        warnings.simplefilter("ignore", UnknownTokensWarning)
        embeddings, figures = embedder.predict_with_summary(
            [text for _, text in some], batch_size, verbose=0, callbacks=[callback]
        )
    try:
        refuse_not_finite(embeddings)
    except NotFiniteError as error:
        raise NotFiniteError(error.document, some[error.document][0]) from None
    figures.update(dim=embeddings.shape[1], sequence_length=embedder.sequence_length)
    figures["is_truncated"] = embedder.long_texts == "truncate"
    return embeddings.astype("float32"), figures


def _located(documents):
    """Yields the place and the text of every document; raises what is wrong with one."""
    for place, document in documents.located():
        if isinstance(document, ValueError):
            raise document
        yield place, document.text


def _check(arguments, output):
    """Refuses wrong arguments before TensorFlow is imported."""
    if output.suffix not in ENDINGS:
        raise ValueError(f"--output must end in .npy or .parquet. Received: {output}")
    if output.is_dir():
        raise IsADirectoryError(f"{output} is a directory. Name a file for --output.")
    data = Path(arguments.data)
    if data.is_dir() and data.resolve() in output.resolve().parents:
        raise ValueError(
            f"--output {output} lies in --data {data}, of which every file is a document. Choose "
            "another place."
        )
    if output.exists() and any(x.resolve() == output.resolve() for x in _files_of(data)):
        raise ValueError(
            f"--output {output} is a file of --data {data}, which would be overwritten. Choose "
            "another place."
        )
    if output.suffix == ".parquet":
        from keras_combiner.datasets.parquet import import_pyarrow

        import_pyarrow()
    if _is_directory_of_weights(arguments.model):
        return
    shared.check_model(arguments.model)
    for name in ("sequence_length", "block_size", "truncate_dim"):
        if getattr(arguments, name) is not None:
            raise ValueError(
                f"--{name.replace('_', '-')} is for a directory of weights. The model in "
                f"{arguments.model} has its own: leave it out."
            )


def _files_of(data):
    """The files that `read_texts` would read."""
    if data.is_dir():
        return data.rglob("*")
    return [data] if data.exists() else map(Path, glob.glob(str(data), recursive=True))


def _is_directory_of_weights(model):
    return any((Path(model) / name).is_file() for name in ("config.json", "modules.json"))


def _load(arguments):
    if not _is_directory_of_weights(arguments.model):
        embedder = shared.load_model(arguments.model, "LongDocumentEmbedder")
        embedder.long_texts = arguments.long_texts or embedder.long_texts
        return embedder
    from keras_combiner.models import LongDocumentEmbedder

    names = ("block_size", "truncate_dim", "long_texts")
    options = {x: getattr(arguments, x) for x in names if getattr(arguments, x) is not None}
    sequence_length = arguments.sequence_length or SEQUENCE_LENGTH
    return LongDocumentEmbedder.from_pretrained(
        arguments.model, sequence_length=sequence_length, **options
    )


def _stamp(arguments):
    """What embeddings depend on besides texts: what JSON can hold."""
    path = Path(arguments.model)
    if _is_directory_of_weights(path):
        files = sorted(x for x in path.rglob("*") if x.suffix in MODEL_FILES and x.is_file())
    else:
        files = [path / shared.MODEL_FILE if path.is_dir() else path]
    options = ("long_texts", "sequence_length", "block_size", "truncate_dim")
    return {
        "model": [(str(x.relative_to(path)), _digest(x)) for x in files],
        "version": __version__,
        "options": {x: getattr(arguments, x) for x in options},
    }


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _total(figures):
    """One dict of figures of those of all parts."""
    names = ("documents", "windows", "tokens", "longer_than_sequence_length")
    total = {name: sum(x[name] for x in figures) for name in names}
    unknown = sum(x["unknown_share"] * x["tokens"] for x in figures)
    return {**figures[0], **total, "unknown_share": unknown / max(1, total["tokens"])}


def _summary(figures, output):
    """What was done, in one line or two."""
    line = (
        f"{documents_in(figures['documents'])}, {figures['tokens']:,} tokens: vectors of "
        f"{figures['dim']:,} numbers in {output}"
    )
    num_long = figures["longer_than_sequence_length"]
    if num_long:
        how = "and truncated" if figures["is_truncated"] else f"in {figures['windows']:,} windows"
        line += f"\n{num_long:,} are longer than {figures['sequence_length']:,} tokens, {how}"
    if figures["unknown_share"] > 0:
        line += f"\n{figures['unknown_share']:.2%} of the tokens are unknown to the vocabulary"
    return line
