"""What an export costs: one table of every kind, by size, latency, memory and accuracy.

`make deploy-report` exports saved_models/sotu_era in every way there is, fine-tunes it where a way
asks for that, and writes docs/deployment.md. What is done is kept in build/deploy-report: a run
that was cut off goes on where it stopped, and what was fine-tuned or exported by the same code is
not done again. Times are measured again in every run.
"""

import argparse
import shutil

from benchmarks.common import files, machine
from benchmarks.common.runs import kept
from benchmarks.deploy_report import length
from benchmarks.deploy_report.exports import PACKAGES, Exports, measure
from benchmarks.deploy_report.page import PAGE
from benchmarks.deploy_report.rows import ROWS, SAVED_MODEL
from benchmarks.server_load import load

FOLDER = files.BUILD / "deploy-report"
ROUNDS = 5
SERVER_SECONDS = 60


def main():
    """Measures what is missing and writes deployment.json and deployment.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, help="fewer rows, not into docs/")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="in which times are measured")
    parser.add_argument("--no-server", action="store_true", help="leave the server out")
    arguments = parser.parse_args()
    exports = Exports(FOLDER)
    rounds = FOLDER / "rounds"
    rows = measure(exports, arguments.rows or list(ROWS), arguments.rounds)
    print("At 4,096 tokens: Combiner beside full attention, about a minute", flush=True)
    at_length = kept(rounds / "length.json", length.figures)
    server = None
    if not arguments.no_server and SAVED_MODEL in rows:
        path = exports.path(SAVED_MODEL)
        server = kept(rounds / "server.json", lambda: load.measure(path, seconds=SERVER_SECONDS))
    figures = {
        **machine.provenance(PACKAGES),
        "documents": len(exports.documents.class_ids),
        "parameters": exports.trained.count_params(),
        "sequence_length": exports.trained.sequence_length,
        "rounds": arguments.rounds,
        "rows": rows,
        "length": {"settings": length.SETTINGS, **at_length},
        "server": server,
    }
    PAGE.write(FOLDER if arguments.rows else files.DOCS, figures)
    shutil.rmtree(rounds)  # the next run measures times of its own


if __name__ == "__main__":
    main()
