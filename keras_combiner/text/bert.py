"""The tokenizer of pretrained BERT models."""

import keras

from keras_combiner.text.bert_normalizer import BertNormalizer
from keras_combiner.text.wordpiece import WordPieceTokenizer


@keras.saving.register_keras_serializable(package="keras_combiner")
class BertTokenizer(WordPieceTokenizer):
    """Word pieces with the ids that a pretrained BERT model was trained on.

    A `WordPieceTokenizer` that normalizes texts by the rules of BERT's own tokenizer and of Hugging
    Face's, to the letter: `WordPieceTokenizer` also takes compatibility characters apart (an "…"
    becomes three dots), which is faster and right for vocabularies that are learned with it, but in
    some places it returns other ids than those that a pretrained model knows.

    What else it does is `WordPieceTokenizer`'s. Two differences from Hugging Face's tokenizer
    remain: `[CLS]`, `[SEP]` and the like in a text are words, not special tokens; and a word is
    one `[UNK]` from 101 bytes on, not from 101 characters on. It cannot be put into a .tflite
    file that takes text.

    Args:
        vocabulary: list of str or path of a vocab.txt; see `WordPieceTokenizer`.
        lowercase: bool, whether to convert letters to lower case; false for cased models.
        strip_accents: bool, whether to strip accents; as `lowercase` if None.

    Raises:
        ImportError: As `WordPieceTokenizer`.
        FileNotFoundError: As `WordPieceTokenizer`.
        ValueError: As `WordPieceTokenizer`.
        TypeError: As `WordPieceTokenizer`, and if `strip_accents` is neither a bool nor None.

    Example:

    >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cafe", "##s", "…"]
    >>> BertTokenizer(vocabulary)(["Cafés…"], sequence_length=6).numpy().tolist()
    [[2, 4, 5, 6, 3, 0]]

    Source: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", 2019, https://arxiv.org/abs/1810.04805.
    """

    def __init__(self, vocabulary, lowercase=True, strip_accents=None):
        if strip_accents not in (True, False, None):
            raise TypeError(
                f"Expected `strip_accents` to be True, False or None. Received: {strip_accents!r}."
            )
        self._strip_accents = strip_accents
        super().__init__(vocabulary, lowercase)

    def _make_normalizer(self, lowercase):
        strip_accents = lowercase if self._strip_accents is None else self._strip_accents
        return BertNormalizer(lowercase, strip_accents)

    def _tokenize_in_litert(self, text):
        raise NotImplementedError(
            "BertTokenizer has no form that runs inside a .tflite file. Export a file that takes "
            "token ids."
        )

    def get_config(self):
        """Returns the constructor's arguments, the whole vocabulary among them.

        Returns:
            A dict with "vocabulary" (list of str), "lowercase" (bool) and "strip_accents" (bool or
            None).
        """
        return {**super().get_config(), "strip_accents": self._strip_accents}
