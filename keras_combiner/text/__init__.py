"""Text to token ids inside the TensorFlow graph.

Nothing here knows a model: a tokenizer turns strings into the int32 ids that any model takes, and
goes with it into a SavedModel that answers strings.
"""

from keras_combiner.text.bert import BertTokenizer
from keras_combiner.text.byte import ByteTokenizer
from keras_combiner.text.byte_pair import BytePairTokenizer
from keras_combiner.text.tokenizer import Tokenizer
from keras_combiner.text.vocabulary import learn_wordpiece_vocabulary
from keras_combiner.text.whole_word_masking import WholeWordMasking
from keras_combiner.text.wordpiece import WordPieceTokenizer

__all__ = [
    "BertTokenizer",
    "BytePairTokenizer",
    "ByteTokenizer",
    "Tokenizer",
    "WholeWordMasking",
    "WordPieceTokenizer",
    "learn_wordpiece_vocabulary",
]
