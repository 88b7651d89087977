"""Files that earlier versions saved still load."""

import zipfile

import keras
import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.models import CombinerBackbone, CombinerMaskedLM
from keras_combiner.text import ByteTokenizer


def classifier(**options):
    return LongDocumentClassifier(backbone(), ByteTokenizer(), ["a", "b"], **options)


def masked(**options):
    return CombinerMaskedLM(backbone(), ByteTokenizer(mask_token=True), **options)


def backbone():
    size = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 8}
    return CombinerBackbone(260, 16, block_size=4, **size)


@pytest.mark.parametrize("make", [classifier, masked])
@pytest.mark.parametrize(("earlier", "now"), [("cut", "truncate"), ("windows", "windows")])
def test_long_texts_were_named_long(make, earlier, now, tmp_path):
    make(long_texts=now).save(tmp_path / "now.keras")
    with zipfile.ZipFile(tmp_path / "now.keras") as saved:
        content = {name: saved.read(name) for name in saved.namelist()}
    config = content["config.json"].decode()
    assert config.count(f'"long_texts": "{now}"') == 1
    config = config.replace(f'"long_texts": "{now}"', f'"long": "{earlier}"')
    with zipfile.ZipFile(tmp_path / "earlier.keras", "w") as saved:
        for name, data in {**content, "config.json": config}.items():
            saved.writestr(name, data)
    loaded = keras.saving.load_model(tmp_path / "earlier.keras")
    assert loaded.long_texts == loaded.get_config()["long_texts"] == now
