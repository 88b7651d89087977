"""Four gigabytes of documents, read and made into batches with the memory of a few."""

import gzip
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SHARDS, MEMBERS, DOCUMENTS = 4, 16, 3200  # a member has DOCUMENTS documents, a shard MEMBERS
CHARACTERS = 20_000
GIGABYTE = 2**30

READ_ALL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (250_000_000, 250_000_000))
from keras_combiner.datasets import read_documents
count = size = 0
for text, label in read_documents(sys.argv[1]):
    count += 1
    size += len(text)
print(count, size)
"""

MAKE_BATCHES = """
import itertools, re, sys
import numpy as np, tensorflow as tf
from keras_combiner.datasets import read_documents
from keras_combiner.batches.document_encoder import DocumentEncoder
from keras_combiner.batches.documents import Documents
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.batches.text_batches import TextBatches
from keras_combiner.text import ByteTokenizer

def peak():
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1]) * 1024

reader = read_documents(sys.argv[1])
def batches(documents):
    encoder = DocumentEncoder(ByteTokenizer(), 512)
    encoded = EncodedDocuments(Documents(documents), encoder, target=np.int32)
    return TextBatches(encoded, 64, seed=1, target=tf.TensorSpec([], "int32"))

class Few(type(reader)):
    def __iter__(self):
        return itertools.islice(super().__iter__(), 9000)
few = batches(Few(reader._shards))
for _ in few.finite():  # two pools and more
    pass
before = peak()
all = batches(reader)
for _ in itertools.islice(all.batches(), len(all) // 5):
    pass
print(len(all.documents.windows), len(all), peak() - before)
"""


@pytest.fixture(scope="module")
def shards():
    folder = ROOT / "build" / "tmp" / "larger_than_memory"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        text = "a contract of many words, and of many more. " * (CHARACTERS // 44 + 1)
        lines = (
            json.dumps({"text": f"{i} {text}"[:CHARACTERS], "label": str(i % 7)}) + "\n"
            for i in range(DOCUMENTS)
        )
        # The same member again and again: gzip files may be put one after the other.
        member = gzip.compress("".join(lines).encode(), compresslevel=1)
        for shard in range(SHARDS):
            with open(folder / f"shard-{shard}.jsonl.gz", "wb") as file:
                for _ in range(MEMBERS):
                    file.write(member)
        yield folder / "shard-*.jsonl.gz"
    finally:
        shutil.rmtree(folder)


def run(code, shards):
    done = subprocess.run(
        [sys.executable, "-c", code, str(shards)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [int(x) for x in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits and peaks as Linux has them")
def test_reading_takes_a_quarter_of_a_gigabyte_of_addresses(shards):
    count, size = run(READ_ALL, shards)
    assert count == SHARDS * MEMBERS * DOCUMENTS
    assert size == count * CHARACTERS
    assert size > 3.8 * GIGABYTE


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits and peaks as Linux has them")
def test_batches_of_all_take_no_more_memory_than_those_of_a_few(shards):
    documents, batches, growth = run(MAKE_BATCHES, shards)
    print(f"{documents} documents, {batches} batches, peak grew by {growth / 1e6:.1f} MB")
    assert documents == SHARDS * MEMBERS * DOCUMENTS
    assert batches == documents // 64
    assert growth < 50_000_000
