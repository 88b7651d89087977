"""Every reader says where its documents stand, in their order."""

from keras_combiner.datasets import read_documents


def test_lines_of_jsonl(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "label": "x"}\n\n{"text": "two", "label": "y"}\n')
    assert list(read_documents(path).places()) == [f"{path}:1", f"{path}:3"]
    assert list(read_documents(path).texts()) == ["one", "two"]


def test_a_record_of_several_lines_stands_where_it_starts(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"one\nand more",x\ntwo,y\n')
    assert list(read_documents(path).places()) == [f"{path}:2", f"{path}:4"]


def test_files_of_folders(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.txt").write_text(label)
    reader = read_documents(tmp_path)
    assert list(reader.places()) == [str(tmp_path / label / "1.txt") for label in "ab"]
    assert [tuple(document) for document in reader] == [("a", "a"), ("b", "b")]


def test_shards_and_parts(tmp_path):
    for i in range(2):
        rows = "".join(f"{j},x\n" for j in range(10))
        (tmp_path / f"{i}.csv").write_text(f"text,label\n{rows}")
    reader = read_documents(tmp_path / "*.csv")
    places = list(reader.places())
    assert places[0] == f"{tmp_path / '0.csv'}:2" and places[-1] == f"{tmp_path / '1.csv'}:11"
    training, validation = reader.split(0.1)
    assert sorted([*training.places(), *validation.places()]) == sorted(places)
    assert len(list(validation.places())) == len(list(validation)) == 2
    for part in (training, validation):
        for place, text in zip(part.places(), part.texts(), strict=True):
            assert int(place.rsplit(":")[-1]) == int(text) + 2


def test_numbers_of_rows_where_there_are_no_lines(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["one", "two"], "label": ["x", "y"]}), path)
    assert list(read_documents(path).places()) == [f"{path}: row 1", f"{path}: row 2"]
