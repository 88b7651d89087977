"""Long documents in: readers that stream them from disk, and the data sets of the examples."""

from keras_combiner.datasets.data_check import DataCheck, check_data
from keras_combiner.datasets.document import Document
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.jsonl import write_jsonl
from keras_combiner.datasets.listops import generate_listops
from keras_combiner.datasets.readers import read_documents
from keras_combiner.datasets.recall import generate_recall
from keras_combiner.datasets.sotu_era import load_sotu_era
from keras_combiner.datasets.texts import read_texts

__all__ = [
    "DataCheck",
    "Document",
    "DocumentReader",
    "check_data",
    "generate_listops",
    "generate_recall",
    "load_sotu_era",
    "read_documents",
    "read_texts",
    "write_jsonl",
]
