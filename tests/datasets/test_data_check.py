"""What check_data finds in files with one fault each, and that it finds nothing in good ones."""

import itertools
import json
import random
import tracemalloc

import pytest

from keras_combiner.datasets import check_data, read_documents
from keras_combiner.datasets.near_duplicates import NearDuplicates
from keras_combiner.datasets.near_names import near_names
from keras_combiner.datasets.text_damage import text_damage

WORDS = [f"{a}{b}" for a in "bcdfghjklm" for b in ("al", "en", "im", "on", "ur")]
LABELS = ["tale", "weather"]


def text(seed, words=120):
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def rows(count, start=0):
    return [{"text": text(i), "label": LABELS[i % 2]} for i in range(start, start + count)]


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def kinds(check, stops):
    return {finding.kind for finding in check.findings if finding.stops == stops}


def with_text(row, new):
    return {**row, "text": new}


def test_good_files_have_no_findings(tmp_path):
    data = write(tmp_path / "a.jsonl", rows(40))
    other = write(tmp_path / "b.jsonl", rows(10, start=100))
    check = check_data(data, other, other.parent / "b.jsonl")
    assert kinds(check, True) == {"leakage"}  # validated and tested on the same
    check = check_data(data, other)
    assert check.findings == () and check.is_clean
    assert check.splits["data"].labels == {"tale": 20, "weather": 20}
    assert check.splits["data"].lengths == {
        "min": 120,
        "mean": 120.0,
        "max": 120,
        "median": 120.0,
        "p90": 120.0,
        "total": 4800,
    }
    assert json.loads(json.dumps(check.as_json()))["splits"]["validation"]["documents"] == 10


# name: (what becomes of 100 good records, findings that stop, those that do not)
FAULTS = {
    "without text": (lambda x: [with_text(x[0], " \n"), *x[1:]], {"empty"}, set()),
    "the same text": (
        lambda x: [*x, with_text(x[0], f" {x[0]['text']}\n"), x[2]],
        {"duplicates"},
        set(),
    ),
    "one text, two labels": (
        lambda x: [*x, *({**row, "label": "tale"} for row in x[1:4:2])],
        {"duplicates", "contradictory"},
        set(),
    ),
    "nearly the same": (
        lambda x: [*x, with_text(x[0], x[0]["text"].upper().replace(" ", ", ") + " end")],
        set(),
        {"near_duplicates"},
    ),
    "nearly the same, another label": (
        lambda x: [*x, {"text": x[0]["text"] + " end", "label": "weather"}],
        set(),
        {"near_duplicates", "near_contradictory"},
    ),
    "without a label": (lambda x: [*x, {"text": text(1000)}], {"unlabelled"}, set()),
    "no labels at all": (lambda x: [{"text": row["text"]} for row in x], {"unlabelled"}, set()),
    "one class": (lambda x: [{**row, "label": "tale"} for row in x], {"classes"}, set()),
    "white space": (
        lambda x: [{**x[0], "label": "tale "}, *x[1:]],
        {"near_names"},
        {"imbalance", "rare"},
    ),
    "case": (
        lambda x: [{**x[0], "label": "Tale"}, *x[1:]],
        set(),
        {"near_names", "imbalance", "rare"},
    ),
    "a letter": (
        lambda x: [{**row, "label": "wether"} if i % 4 == 1 else row for i, row in enumerate(x)],
        set(),
        {"near_names"},
    ),
    "a missing one, in words": (
        lambda x: [{**row, "label": "None"} if i % 4 == 1 else row for i, row in enumerate(x)],
        set(),
        {"missing_names"},
    ),
    "imbalance": (
        lambda x: [{**row, "label": LABELS[i < 9]} for i, row in enumerate(x)],
        set(),
        {"imbalance"},
    ),
    "mojibake": (
        lambda x: [with_text(x[0], x[0]["text"] + " Müller".encode().decode("cp1252")), *x[1:]],
        {"mojibake"},
        set(),
    ),
    "bytes lost": (lambda x: [with_text(x[0], "M\ufffdller"), *x[1:]], {"replaced"}, set()),
    "a byte order mark": (lambda x: [with_text(x[0], "one\ufefftwo"), *x[1:]], set(), {"marks"}),
    "another task": (lambda x: [*x, {"text": "a", "labels": ["tale"]}], {"unlabelled"}, set()),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_found_and_nothing_else(case, tmp_path):
    fault, stops, others = FAULTS[case]
    check = check_data(write(tmp_path / "a.jsonl", fault(rows(100))))
    assert (kinds(check, True), kinds(check, False)) == (stops, others)
    assert check.is_clean == (not stops)


def test_a_rare_fault_is_worth_a_look_and_no_more(tmp_path):
    records = rows(300)
    records += [records[0], with_text(records[1], "")]
    check = check_data(write(tmp_path / "a.jsonl", records))
    assert (kinds(check, True), kinds(check, False)) == (set(), {"duplicates", "empty"})
    places = {finding.kind: finding.places for finding in check.findings}
    assert places["duplicates"] == [f"{tmp_path}/a.jsonl:301 and {tmp_path}/a.jsonl:1"]
    assert places["empty"] == [f"{tmp_path}/a.jsonl:302"]


def test_the_order_of_labels_says_nothing(tmp_path):
    twice, near = text(1), text(2)
    rows = [(twice, "red round"), (twice, "round red red"), (near, "red round")]
    rows += [(near + " end", "round red"), (text(3), "red"), (text(4), "round")]
    records = [{"text": x, "labels": y.split()} for x, y in rows]
    found = check_data(write(tmp_path / "a.jsonl", records)).duplicates
    assert (found.within["data"], found.near_within["data"]) == (1, 1)
    assert (found.contradictory, found.near_contradictory) == (0, 0)
    records[1]["labels"] = ["red"]
    records[3]["labels"] = []
    found = check_data(write(tmp_path / "a.jsonl", records)).duplicates
    assert (found.contradictory, found.near_contradictory) == (1, 1)


def test_across_files(tmp_path):
    records = rows(100)
    near = with_text(records[3], records[3]["text"] + " end")
    data = write(tmp_path / "a.jsonl", records)
    other = write(tmp_path / "b.jsonl", [*rows(8, start=200), records[5], near, records[5]])
    check = check_data(data, test_data=other)
    assert kinds(check, True) == {"leakage", "near_leakage"}
    assert check.duplicates.across == {("data", "test"): 2}
    assert check.duplicates.near_across == {("data", "test"): 1}
    assert check.duplicates.within == {"data": 0, "test": 1}
    found = {finding.kind: finding for finding in check.findings}
    assert found["leakage"].places[0] == f"{other}:9 and {data}:6"
    assert found["near_leakage"].places == [f"{other}:10 and {data}:4"]
    assert "2 documents of test (18.2%)" in found["leakage"].message


def test_labels_and_tasks_of_other_files(tmp_path):
    data = write(tmp_path / "a.jsonl", rows(20))
    labels = write(tmp_path / "b.jsonl", [{"text": text(50), "label": "sonnet"}])
    numbers = write(tmp_path / "c.jsonl", [{"text": text(51), "target": 1.5}])
    assert kinds(check_data(data, labels), True) == {"unknown_labels"}
    check = check_data(data, numbers)
    assert kinds(check, True) == {"task"}
    assert check.splits["validation"].target == {"min": 1.5, "mean": 1.5, "max": 1.5}


def test_bad_records_are_counted_and_read_past(tmp_path):
    path = write(tmp_path / "a.jsonl", rows(20))
    path.write_bytes(b'{"text": 3}\n' + path.read_bytes() + b'{"text"\n\xff\n' + b"{}\n")
    check = check_data(path)
    assert check.splits["data"].documents == 20
    assert check.splits["data"].unreadable.count == 4
    assert [x.split(": ")[0] for x in check.findings[0].places] == [
        f"{path}:{line}" for line in (1, 22, 23)
    ]
    assert check.findings[0].message.startswith("data: 4 records cannot be read.")


def weighted(*weights):
    return [{**row, "w": w} for row, w in zip(rows(len(weights)), weights, strict=True)]


def test_weights_are_summed_up(tmp_path):
    records = weighted(0, 2, 0.5, 0, 1, 4)
    several = [
        {"text": x["text"], "labels": ["a", "b"][: i % 3], "w": x["w"]}
        for i, x in enumerate(records)
    ]
    check = check_data(write(tmp_path / "a.jsonl", records), weight_field="w")
    assert check.is_clean
    assert check.splits["data"].weights == {
        "count": 6,
        "zeros": 2,
        "min": 0.0,
        "mean": 1.25,
        "max": 4.0,
        "total": 7.5,
        "labels": {"tale": 1.5, "weather": 6.0},
    }
    check = check_data(write(tmp_path / "b.jsonl", several), weight_field="w")
    # of 1, 4 and of 2, 5: of the latter both labels.
    assert check.splits["data"].weights["labels"] == {"a": 2 + 0.5 + 1 + 4, "b": 0.5 + 4}
    assert check_data(tmp_path / "a.jsonl").splits["data"].weights is None


def test_bad_weights_are_found_where_they_stand(tmp_path):
    records = weighted(1, -1, "2", None, 1, 1, 1, 1)
    del records[-1]["w"]
    path = write(tmp_path / "a.jsonl", records)
    check = check_data(path, weight_field="w")
    assert (kinds(check, True), check.splits["data"].weights["count"]) == ({"unreadable"}, 4)
    assert check.findings[0].message.startswith("data: 4 records cannot be read.")
    assert check.findings[0].places == [
        f"{path}:2: field 'w' must be finite and at least 0, received -1.",
        f"{path}:3: field 'w' must be a number, received a string.",
        f"{path}:4: field 'w' must be a number, received null.",
    ]


def test_labels_that_weigh_nothing(tmp_path):
    check = check_data(write(tmp_path / "a.jsonl", weighted(0, 1, 0, 1)), weight_field="w")
    (finding,) = check.findings
    assert (finding.kind, finding.stops) == ("weightless", False)
    assert finding.message.startswith("data: labels whose documents all have the weight 0: 'tale'.")
    check = check_data(write(tmp_path / "b.jsonl", weighted(0, 0, 0)), weight_field="w")
    assert kinds(check, True) == {"weightless"}


@pytest.mark.parametrize("ending", ["csv", "parquet", "folder", "shards"])
def test_every_format_is_read_past_what_is_bad(ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    good = rows(6)
    if ending == "csv":
        lines = [f"{row['text']},{row['label']}\n" for row in good]
        path.write_bytes(b"text,label\n\xff,x\n" + "".join(lines).encode())
    elif ending == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pyarrow.Table.from_pylist([*good, {"text": None, "label": "tale"}])
        parquet.write_table(table, path)
    elif ending == "folder":
        for i, row in enumerate(good):
            (path / row["label"]).mkdir(parents=True, exist_ok=True)
            (path / row["label"] / f"{i}.txt").write_text(row["text"])
        (path / "tale" / "bad.txt").write_bytes(b"\xff")
        (path / "README.txt").write_text("not a document")
    else:
        write(tmp_path / "s-1.jsonl", good[:3])
        (tmp_path / "s-2.jsonl").write_bytes(b"")
        write(tmp_path / "s-3.jsonl", good[3:])
        path = tmp_path / "s-*.jsonl"
    check = check_data(path)
    assert check.splits["data"].documents == 6
    assert check.splits["data"].unreadable.count == 1
    assert kinds(check, True) == {"unreadable"}


def test_nothing_to_read_is_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("body,label\na,x\n")
    with pytest.raises(ValueError, match=r"a\.csv:1: no column 'text'"):
        check_data(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError):
        check_data(tmp_path / "b.csv")


def test_lengths_and_unknown_tokens(tmp_path):
    path = write(tmp_path / "a.jsonl", rows(20))

    def count(texts):
        lengths = [len(x.split()) + 2 for x in texts]
        return lengths, [x - 2 for x in lengths], [70] * len(texts)

    seen = []
    check = check_data(path, sequence_length=61, count_tokens=count, progress=seen.append)
    figures = check.splits["data"]
    assert (figures.longer, figures.unread) == (20, 0.5)
    assert figures.unknown == pytest.approx(70 / 120)
    assert (kinds(check, True), kinds(check, False)) == ({"unknown"}, {"long"})
    assert seen == list(range(1, 21))


@pytest.mark.parametrize(
    ("names", "difference", "groups"),
    [
        (["tale", " tale", "tales"], "white space", [[" tale", "tale"]]),
        (["Tale", "tale", "TALE"], "case", [["TALE", "Tale", "tale"]]),
        (["receipt", "reciept"], "a letter", [["receipt", "reciept"]]),
        (["colour", "color"], "a letter", [["color", "colour"]]),
        (["weather", "wheather"], "a letter", [["weather", "wheather"]]),
        (["Weather", "weathr"], "a letter", [["Weather", "weathr"]]),
        (["cat", "car", "class 1", "class 2", "1840-1859", "1840-1850"], "a letter", []),
    ],
)
def test_near_names(names, difference, groups):
    found = near_names(names)
    assert found.pop(difference) == groups
    assert not any(found.values())


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_series_is_not_spelled_wrong(length):
    letters = "abcdefghijklmnopqrstuvwxyz"[: 26 if length < 3 else 13]
    names = ["category-" + "".join(x) for x in itertools.product(letters, repeat=length)]
    assert not any(near_names(names).values())
    typo = names[-1].replace("category", "categry")
    assert near_names([*names, typo])["a letter"] == [[names[-1], typo]]


@pytest.mark.parametrize(
    "good", ["Müller", "CAFÉ»", "Ã", "â€", "NÃO", "Â", "page\x0c", "naïve 你好"]
)
def test_good_text_is_not_damaged(good):
    assert text_damage(good) == []


@pytest.mark.parametrize("lost", ["ü", "é", "°", "\u2019", "😀"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_mojibake_is_found(lost, encoding):
    damaged = "".join(
        bytes([x]).decode(encoding, "ignore") or bytes([x]).decode("latin-1") for x in lost.encode()
    )
    # Read as Latin-1, some bytes are control characters.
    found = text_damage(damaged)
    assert "mojibake" in found or (encoding == "latin-1" and found == ["controls"])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5])
def test_near_duplicates_are_those_of_the_measure(share):
    """Texts of which a share of the words is other: found if few are, and not if many are."""
    found = NearDuplicates()
    for i in range(40):
        words = text(i, 400).split()
        found.add(2 * i, " ".join(words))
        chance = random.Random(1000 + i)
        for place in chance.sample(range(400), int(400 * share)):
            words[place] = "other"
        found.add(2 * i + 1, " ".join(words))
    groups = [group.tolist() for group in found.groups()]
    assert groups == ([] if share == 0.5 else [[2 * i, 2 * i + 1] for i in range(40)])


@pytest.mark.parametrize(
    "sentence", ["ภาษาไทยเขียนติดกัน", "中文没有空格因此每个字都算", "ខ្មែរមិនដកឃ្លា"]
)
def test_near_duplicates_without_spaces(sentence):
    found = NearDuplicates()
    chance = random.Random(0)
    for i in range(3):
        letters = chance.choices(sentence, k=300)
        found.add(2 * i, "".join(letters))
        found.add(2 * i + 1, "".join([*letters[:150], "x", *letters[150:]]))
    assert [group.tolist() for group in found.groups()] == [[0, 1], [2, 3], [4, 5]]


def test_texts_are_not_held_in_memory(tmp_path):
    path = tmp_path / "a.jsonl"
    with open(path, "w") as file:
        for i in range(300):
            record = {"text": f"{text(i, 200)} " + 20_000 * "x", "label": LABELS[i % 2]}
            file.write(json.dumps(record) + "\n")
    list(read_documents(path))
    tracemalloc.start()
    try:
        check_data(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000 < path.stat().st_size
