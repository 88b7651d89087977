"""Every token of a text is read, whatever normalization makes of it and whatever lies beside it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_combiner.batches.document_encoder import DocumentEncoder
from keras_combiner.batches.documents import Documents
from keras_combiner.batches.encoded_documents import EncodedDocuments
from keras_combiner.batches.windows import split_into_windows
from keras_combiner.text import BertTokenizer, ByteTokenizer, WordPieceTokenizer

LENGTH = 12
LETTERS = [*"abcfisk½…株式会社漢ภか\u1100\u1161\u0627\u0644\u0647\u0635\u0643\ufffd"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{x}" for x in LETTERS), "."]
TOKENIZERS = {
    "folded": WordPieceTokenizer(VOCABULARY),
    "as it is": WordPieceTokenizer(VOCABULARY, lowercase=False),
    "bert": BertTokenizer(VOCABULARY),
    "cased bert": BertTokenizer(VOCABULARY, lowercase=False),
    "bytes": ByteTokenizer(),
}
# Characters that become several, several words, one with others, or none.
ODD = ["㍿", "ﷺ", "ﬃ", "㎒", "½", "…", "a\u0301\u0323", "각", "\u0f77", "İ", "漢", "か\u3099", "ภ"]
ODD += ["\0", "\x85", "\u00ad", "\u200d", "\ufeff", "\ufffd", "\U000e0041", "👩\u200d👧", "a" * 101]
ODD += [" ", "\n", ".", "ab ", "..."]
TEXT = st.lists(
    st.one_of(st.sampled_from(ODD), st.text(max_size=5)).flatmap(
        lambda x: st.integers(1, 9).map(lambda times: x * times)
    ),
    max_size=12,
).map("".join)


def encoded(texts, tokenizer, length, long_texts):
    return EncodedDocuments(Documents(texts), DocumentEncoder(tokenizer, length, long_texts))


def rows(tokenizer, texts, length=None):
    return tokenizer.encode(texts, length).to_list()


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=pytest.mark.slow) if x == "cased bert" else x for x in TOKENIZERS],
)
@settings(max_examples=6)
@given(texts=st.lists(TEXT, min_size=2, max_size=4), length=st.integers(3, 40))
def test_ids_do_not_depend_on_the_batch(name, texts, length):
    tokenizer = TOKENIZERS[name]
    alone = [rows(tokenizer, [text])[0] for text in texts]
    assert rows(tokenizer, texts) == alone
    cut = [x if len(x) <= length else [*x[: length - 1], x[-1]] for x in alone]
    assert rows(tokenizer, texts, length) == cut
    ids, starts, ends = tokenizer.encode_with_offsets(texts)
    assert ids.to_list() == alone
    for text, first, last in zip(texts, starts.to_list(), ends.to_list(), strict=True):
        assert min(first) >= 0 and max(last) <= len(text.encode())

    documents = encoded(texts, tokenizer, LENGTH, long_texts="windows")
    expected = [split_into_windows(np.array(x), LENGTH) for x in alone]
    received = [x[0].tolist() for x in documents.examples()]
    assert received == [window.tolist() for windows in expected for window in windows]
    assert documents.windows.tolist() == [len(x) for x in expected]
    assert documents.tokens.tolist() == [len(x) for x in alone]
    documents = encoded(texts, tokenizer, LENGTH, long_texts="truncate")
    assert documents.is_long.tolist() == [len(x) > LENGTH for x in alone]
    assert documents.tokens.tolist() == [min(len(x), LENGTH) for x in alone]


def test_a_byte_may_be_more_than_a_token():
    tokenizer = TOKENIZERS["folded"]
    text = "㍿" * 3000 + " ab" * 500
    documents = encoded([text, "a"], tokenizer, 512, long_texts="windows")
    assert documents.tokens.tolist() == [2 + 4 * 3000 + 2 * 500, 3]
    last = list(documents.examples())[-2][0].tolist()
    assert last[-5:-1] == rows(tokenizer, ["abab"])[0][1:3] + rows(tokenizer, ["ab"])[0][1:3]


@pytest.mark.parametrize("piece", ["a", "é", "㍿", "漢", "\u200d", "👩\u200d"])
def test_the_work_grows_with_the_length(piece):
    """A megabyte without a space, where a step for every pair of characters would take minutes."""
    start = time.perf_counter()
    text = piece * (2**20 // len(piece.encode()))
    for tokenizer in TOKENIZERS.values():
        assert len(rows(tokenizer, [text, "a"])) == 2
    assert time.perf_counter() - start < 30
