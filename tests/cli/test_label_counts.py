"""How labels are counted, shown and compared with those of a model."""

import pytest

from keras_combiner.cli import label_counts
from keras_combiner.cli.target_summary import TargetSummary


def test_many_classes_are_not_all_listed():
    counts = {f"class {i}": 1 for i in range(1000)}
    assert label_counts.describe(counts).endswith("class 19 1, and 980 more")


def test_an_unknown_label_says_where_and_stays_short(tmp_path):
    from keras_combiner.datasets import read_documents

    path = tmp_path / "r.csv"
    path.write_text("text,labels\na,klass 1|class 2\nb,klass 1|other\nc,klass 3\n")
    known = [f"class {i}" for i in range(3000)]
    with pytest.raises(ValueError, match="unknown") as caught:
        label_counts.check_known({"klass 3": 1, "other": 1}, known, read_documents(path))
    assert str(caught.value).startswith(f"{path}:4: unknown label 'klass 3'. Nearest of the 3000")
    assert "'class 3'" in str(caught.value)
    assert str(caught.value).endswith("2 labels of the file are unknown.")
    assert len(str(caught.value)) < 300


def test_labels_of_earlier_models_are_known(tmp_path):
    """Before there was a rule, true was called "true" in a model, and 1.0 "1.0"."""
    from keras_combiner.datasets import read_documents

    path = tmp_path / "r.jsonl"
    path.write_text('{"text": "a", "label": true}\n{"text": "b", "label": 1.0}\n')
    summary = TargetSummary.of(read_documents(path))
    assert set(summary.labels) == {"True", "1"}
    summary.check_known(["1.0", "true"], read_documents(path))
    with pytest.raises(ValueError, match=r"r\.jsonl:2: unknown label '1'"):
        summary.check_known(["1.0", "1.00", "true"], read_documents(path))
