"""BestModel keeps the model of the best epoch, by figures that should grow as by those that not."""

import pytest

from keras_combiner.training import BestModel


@pytest.mark.parametrize(
    ("monitor", "mode", "best"),
    [("val_loss", "auto", 1), ("val_accuracy", "auto", 2), ("mae", "auto", 1), ("mine", "max", 2)],
)
def test_the_best_is_the_least_or_the_greatest(tmp_path, monitor, mode, best):
    callback = BestModel(tmp_path / "best.keras", monitor, write=False, mode=mode)
    for epoch, figure in enumerate([0.5, 0.25, 1.0, 0.5]):
        callback.on_epoch_end(epoch, {monitor: figure})
    assert callback.epoch == best


def test_what_it_cannot_go_by(tmp_path):
    with pytest.raises(ValueError, match="`mode` must be 'auto', 'min' or 'max'"):
        BestModel(tmp_path / "best.keras", mode="least")
    with pytest.raises(ValueError, match="goes by 'val_foo', but the figures of an epoch are loss"):
        BestModel(tmp_path / "best.keras", "val_foo").on_epoch_end(0, {"loss": 1.0})
