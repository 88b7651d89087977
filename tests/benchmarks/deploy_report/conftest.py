"""Figures of a deployment report in which every target is met, some only just."""

import pytest

from benchmarks.deploy_report import length, rows
from benchmarks.deploy_report.length import COMBINER, FULL, FULL_WITHOUT_MASK


def row(size=1_000_000, whole=0.87, padded=0.58, milliseconds=(10.0, 12.0, 11.0)):
    accuracies = {rows.WHOLE: (whole, 0.87), rows.PADDED: (padded, 0.58)}
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
            **{name: row() for name in rows.ROWS},
            rows.FLOAT32: row(4_000_000, milliseconds=(20.0, 24.0, 22.0)),
            rows.DYNAMIC: row(1_160_000, whole=0.865, milliseconds=(20.0, 24.0, 22.0)),
            rows.INT8: row(padded=0.57),
            rows.INT4: row(whole=0.85),
            rows.PRUNED: row(whole=0.86),
            rows.QAT: row(padded=0.57),
        },
        "length": {
            "settings": length.SETTINGS,
            "seconds": {COMBINER: 0.125, FULL: 0.75, FULL_WITHOUT_MASK: 0.5},
            "size": dict.fromkeys((COMBINER, FULL, FULL_WITHOUT_MASK), 5_000_000),
        },
        "server": None,
    }
