"""The example compresses a tiny model in every way and prints what each reached."""

import importlib.util
import re
from pathlib import Path

import pytest

from keras_combiner import LongDocumentClassifier
from keras_combiner.datasets import write_jsonl

FILE = Path(__file__).parents[2] / "examples" / "compress" / "compress.py"
TEXTS, LABELS = ["bright and warm", "cold and dull"] * 6, ["summer", "winter"] * 6


@pytest.mark.slow  # four trainings and six exports
def test_it_runs(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("compress", FILE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    classifier = LongDocumentClassifier.from_texts(
        TEXTS,
        LABELS,
        sequence_length=24,
        tokenizer="bytes",
        num_layers=1,
        num_heads=2,
        hidden_dim=32,
        intermediate_dim=64,
        block_size=8,
    )
    classifier.fit(TEXTS, LABELS, epochs=4, batch_size=4, verbose=0)
    classifier.save(tmp_path / "model.keras")
    data = tmp_path / "data.jsonl"
    write_jsonl(data, zip(TEXTS, LABELS, strict=True))
    example.main(
        f"--model {tmp_path}/model.keras --train {data} --test {data} --epochs 1 "
        f"--output {tmp_path}/out".split()
    )
    rows = re.findall(r"^(.+?) {2,}([\d.]+) +([\d.]+) +([\d.]+)$", capsys.readouterr().out, re.M)
    assert [name for name, *_ in rows] == [
        "float32",
        "dynamic_int8",
        "80 % pruned",
        "2:4 pruned",
        "16 clusters",
        "quantization-aware int8",
    ]
    assert all(0 <= float(accuracy) <= 1 for _, accuracy, _, _ in rows)
    zipped = {name: float(x) for name, *_, x in rows}
    assert zipped["80 % pruned"] < zipped["float32"]
    assert zipped["16 clusters"] < zipped["float32"]
    assert len(list((tmp_path / "out").glob("*.tflite"))) == 6
