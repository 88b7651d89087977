"""Long documents in: readers that stream them from disk, and the data set of the demo."""

from keras_combiner.datasets.document import Document
from keras_combiner.datasets.document_reader import DocumentReader
from keras_combiner.datasets.jsonl import write_jsonl
from keras_combiner.datasets.readers import read_documents
from keras_combiner.datasets.sotu_era import load_sotu_era

__all__ = ["Document", "DocumentReader", "load_sotu_era", "read_documents", "write_jsonl"]
