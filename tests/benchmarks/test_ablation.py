"""The ablation's words follow its figures, and its divergence is what it says."""

import numpy as np
import pytest

from benchmarks import ablation
from keras_combiner.factorizations import Fixed
from tests import reference

SETTINGS = {
    **ablation.SETTINGS,
    "min_length": 5,
    "max_length": 20,
    "train_steps": 2,
    "batch_size": 4,
    "validation_examples": 4,
    "test_examples": 6,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "block_size": 4,
    "divergence_examples": 2,
}


def figures_of(row, seed, settings):
    """In place of training."""
    return {"validation": {"accuracy": 0.5}, "seconds": 1.0}


def runs(accuracies):
    """Figures of all rows; `accuracies` of ("fixed", "max") by seed, 0.5 elsewhere."""
    return {
        (row, seed): {
            "test": {
                "accuracy": accuracy if row == ("fixed", "max") else 0.5,
                "loss": 1.5 - accuracy if row == ("fixed", "max") else 1.0,
            },
            "seconds": 10.0,
            "divergence": dict.fromkeys({*ablation.comparable(row[0]), row[1]}, 0.25),
        }
        for row in ablation.ROWS
        for seed, accuracy in enumerate(accuracies)
    }


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [
        (
            (0.6, 0.7, 0.8),
            "accuracy +0.100, +0.200, +0.300 by seed; loss -0.200 on the average, lower in 3 of 3 "
            "seeds. The claim holds here.",
        ),
        (
            (0.4, 0.3, 0.2),
            "accuracy -0.100, -0.200, -0.300 by seed; loss +0.200 on the average, lower in 0 of 3 "
            "seeds. The claim does not hold here.",
        ),
        (
            (0.6, 0.7, 0.51),  # the last one is chance
            "accuracy +0.100, +0.200, +0.010 by seed; loss -0.103 on the average, lower in 3 of 3 "
            "seeds. The claim is not settled here.",
        ),
    ],
)
def test_the_words_follow_the_figures(accuracies, verdict):
    report = ablation.summarize(runs(accuracies), {**SETTINGS, "test_examples": 2000})
    report["trivial"] = {"majority": 0.1, "root operator": 0.2}
    report["random"] = {"fixed max": 0.75}
    text = ablation.markdown(report)
    (sentence,) = [x for x in text.splitlines() if x.startswith("- `fixed`, `max`")]
    assert verdict in sentence
    why, _ = (x for x in text.splitlines() if x.startswith(("- `summary=", "- `factorization=")))
    gains = [0.5 - x for x in accuracies] + [0.0] * 6
    assert "in 0 of 9 cases" in why  # all divergences are equal: "none" comes first
    assert f"is {np.mean(gains):+.3f} against `max`" in why
    better, worse = (sum(sign * x > 0 for x in gains) for sign in (1, -1))
    assert f"higher in {better} and lower in {worse} of 9 pairs" in why
    assert len([x for x in text.splitlines() if x.startswith("| ")]) == len(ablation.ROWS) + 2


def test_divergence_is_zero_where_all_is_direct_and_not_elsewhere():
    query, key, _ = reference.heads((2, 2, 12, 4))
    masks = np.arange(12) < np.array([[12], [9]])
    heads = [(query, key)]
    assert ablation.mean_divergence(Fixed(12), "max", heads, masks) == pytest.approx(0, abs=1e-6)
    assert ablation.mean_divergence(Fixed(4), "max", heads, masks) > 0.01


def test_learned_summaries_are_measured_with_what_their_model_learned():
    row = ("fixed", "deepset")
    assert ablation.is_learned(row[1])
    figures = ablation.train(row, 0, SETTINGS)
    assert figures["divergence"]["deepset"] > 0


def test_rows_are_of_equal_size_and_measured():
    sparse, combiner = (ablation.train(row, 0, SETTINGS) for row in ablation.ROWS[:2])
    assert sparse["parameters"] == combiner["parameters"]
    assert set(sparse["divergence"]) == set(combiner["divergence"])
    assert set(sparse["divergence"]) == {"none", "max", "mean", "variational"}
    trivial = ablation.trivial_accuracies(SETTINGS)
    assert 0 <= trivial["majority"] <= 1


@pytest.mark.slow
def test_what_is_done_is_not_done_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ablation, "ROWS", ablation.ROWS[:2])
    everything = ablation.run_all(SETTINGS, (0,), 1, tmp_path, train=figures_of)
    lost, kept = sorted(tmp_path.iterdir())
    lost.unlink()
    kept.write_text('{"kept": true}')
    capsys.readouterr()
    again = ablation.run_all(SETTINGS, (0,), 1, tmp_path, train=figures_of)
    assert "1 of 2 runs are done already." in capsys.readouterr().out
    assert sorted(again.values(), key=len) == [{"kept": True}, figures_of(None, 0, None)]
    assert set(again) == set(everything)
    # Other settings are other runs.
    ablation.run_all({**SETTINGS, "train_steps": 3}, (0,), 1, tmp_path, train=figures_of)
    assert len(list(tmp_path.iterdir())) == 4
