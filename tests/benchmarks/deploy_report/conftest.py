"""Figures of a deployment report in which every target is met, some only just."""

import pytest

from benchmarks.deploy_report import length
from benchmarks.deploy_report.length import COMBINER, FULL, FULL_WITHOUT_MASK
from benchmarks.deploy_report.rows import (
    DYNAMIC,
    FLOAT32,
    INT4,
    INT8,
    PADDED,
    PRUNED,
    QAT,
    ROWS,
    WHOLE,
)


def row(size=1_000_000, whole=0.87, padded=0.58, milliseconds=(10.0, 12.0, 11.0)):
    accuracies = {WHOLE: (whole, 0.87), PADDED: (padded, 0.58)}
    return {
        "size": size,
        "compressed": size // 2,
        **{
            name: {
                "accuracy": accuracy,
                "model_accuracy": own,
                "agreement": 1.0,
                "largest_difference": 0.01,
            }
            for name, (accuracy, own) in accuracies.items()
        },
        "milliseconds": {"1": list(milliseconds), "2": [x / 2 for x in milliseconds]},
        "memory": [2_000_000, 4_000_000, 3_000_000],
    }


@pytest.fixture
def figures():
    return {
        "date": "2001-02-03",
        "machine": "a machine",
        "versions": {"keras": "3"},
        "documents": 261,
        "parameters": 1_000,
        "sequence_length": 2560,
        "rounds": 3,
        "rows": {
            **{name: row() for name in ROWS},
            FLOAT32: row(4_000_000, milliseconds=(20.0, 24.0, 22.0)),
            DYNAMIC: row(1_160_000, whole=0.865, milliseconds=(20.0, 24.0, 22.0)),
            INT8: row(padded=0.57),
            INT4: row(whole=0.85),
            PRUNED: row(whole=0.86),
            QAT: row(padded=0.57),
        },
        "length": {
            "settings": length.SETTINGS,
            "seconds": {COMBINER: 0.125, FULL: 0.75, FULL_WITHOUT_MASK: 0.5},
            "size": dict.fromkeys((COMBINER, FULL, FULL_WITHOUT_MASK), 5_000_000),
        },
        "server": None,
    }
