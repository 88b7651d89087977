"""Load and faults for `keras-combiner serve`, on loopback: how fast, how much memory, what breaks.

    python -m benchmarks.server_load --model saved_models/sotu_era --seconds 60

Every answer is compared with what the SavedModel itself says of each text alone. Figures depend on
the machine, which the clients share with the server.
"""

import argparse
import json
from pathlib import Path

from benchmarks.server_load.load import measure


def main():
    """Prints the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=Path("saved_models/sotu_era"), metavar="DIR")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--no-faults", action="store_true")
    arguments = parser.parse_args()
    figures = measure(
        arguments.model, arguments.clients, arguments.seconds, faults=not arguments.no_faults
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
