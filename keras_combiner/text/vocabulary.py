"""Learns the word pieces of a corpus."""

import collections
import itertools
import math
import operator
import string
import time

import numpy as np

from keras_combiner.text.tensorflow_text_ops import (
    SUFFIX_INDICATOR,
    UNKNOWN_TOKEN,
    build_normalizer,
    build_wordpiece,
    import_tensorflow_text,
    replace_invalid_utf8,
)
from keras_combiner.text.tokenizer import as_bytes
from keras_combiner.text.unknown_tokens import check_unknown_tokens
from keras_combiner.text.wordpiece import MASK_TOKEN, SPECIAL_TOKENS

_MAX_PIECE_LENGTH = 50
# Texts go through the graph in batches: one op call a text would dominate with short texts, and
# the whole corpus at once would not fit with long ones.
_BATCH_TEXTS = 256
_BATCH_BYTES = 1 << 20
_BATCH_WORDS = 1 << 16
# A search stops with this many times the pieces wanted; the rarest of them are then left out.
_SURPLUS = 1.1


def learn_wordpiece_vocabulary(
    texts,
    vocabulary_size=8000,
    lowercase=True,
    verbose=True,
    mask_token=False,
    most_unknown=1.0,
):
    """Learns a vocabulary for WordPieceTokenizer from texts.

    The words are those that the tokenizer will see (same normalization, same splitting, by the same
    ops) and the pieces come from tensorflow-text's own learner. The same texts give the same
    vocabulary.

    Every ASCII character of the texts is in it, a letter or digit also with a leading `##`, so that
    no word of them is unknown. Other characters are taken from the most frequent on, as long as
    characters fill at most half of the vocabulary.

    Args:
        texts: iterable of str or bytes (a list, a generator, a tf.data.Dataset of strings), read
            once, in batches; only the counts of the different words are kept.
        vocabulary_size: int, the most entries to return. Small corpora give fewer.
        lowercase: bool, as for WordPieceTokenizer.
        verbose: bool, whether to print a line at the start and one at the end.
        mask_token: bool, whether it has a `[MASK]`, for masked language models.
        most_unknown: float, the greatest share of the texts' tokens that may be `[UNK]`; by default
            every vocabulary is accepted.

    Returns:
        A list of str that begins with `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and, if asked for,
        `[MASK]`; then come characters, then pieces, the most frequent first.

    Raises:
        ImportError: If tensorflow-text is not installed.
        ValueError: If the texts hold no word, `texts` is a single string, `vocabulary_size` is too
            small for the ASCII characters of the texts, or more than `most_unknown` of their tokens
            would be `[UNK]`; of more than one in twenty there is an `UnknownTokensWarning`.
        TypeError: If a text is neither str nor bytes, or an argument is of another type.

    Example:

    >>> from keras_combiner.text import learn_wordpiece_vocabulary
    >>> learn_wordpiece_vocabulary(["Ab, ab!"], verbose=False)
    ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '!', ',', 'a', 'b', '##a', '##b', 'ab']
    """
    start = time.perf_counter()
    if isinstance(texts, (str, bytes)):
        raise ValueError(
            f"Expected `texts` to be an iterable of texts. Received a single "
            f"{type(texts).__name__}: {texts[:40]!r}. Wrap it in a list: [text]."
        )
    if not hasattr(texts, "__iter__"):
        raise TypeError(
            f"Expected `texts` to be an iterable of texts. Received: {type(texts).__name__}."
        )
    if not isinstance(lowercase, bool):
        raise TypeError(f"Expected `lowercase` to be True or False. Received: {lowercase!r}.")
    vocabulary_size = operator.index(vocabulary_size)
    import_tensorflow_text()
    if verbose:
        print(f"Learning a vocabulary of at most {vocabulary_size:,} word pieces ...", flush=True)
    counts, num_texts = _count_words(texts, lowercase)
    if not counts:
        raise ValueError(
            f"Expected texts with words to learn from. Received {num_texts} text(s) without any."
        )
    special_tokens = (*SPECIAL_TOKENS, MASK_TOKEN) if mask_token else SPECIAL_TOKENS
    characters = _select_characters(counts, vocabulary_size, len(special_tokens))
    num_pieces = vocabulary_size - len(special_tokens) - len(characters)
    pieces = _learn_pieces(counts, set(characters), num_pieces)
    vocabulary = [*special_tokens, *characters, *pieces]
    num_unknown, num_tokens = _count_unknown(counts, vocabulary)
    check_unknown_tokens(np.array([num_unknown]), np.array([num_tokens]), most_unknown)
    if verbose:
        print(
            f"Learned {len(vocabulary):,} word pieces from {counts.total():,} words "
            f"({len(counts):,} different) of {num_texts:,} texts in "
            f"{time.perf_counter() - start:.1f} s; {num_unknown / num_tokens:.1%} of their tokens "
            "are unknown.",
            flush=True,
        )
    return vocabulary


def _count_words(texts, lowercase):
    """Returns a Counter of the words (str) of all texts, and the number of texts."""
    normalizer = build_normalizer(lowercase)
    # A word-piece op that knows no piece cuts nothing: each word comes out as one token, with the
    # offsets of the word. So the words are the tokenizer's own by construction. ("a" is there
    # because the op refuses a vocabulary without any piece; it is a whole word only.)
    splitter = build_wordpiece([UNKNOWN_TOKEN, "a"])
    counts = collections.Counter()
    num_texts = 0
    for batch in _batches(texts):
        num_texts += len(batch)
        normalized = normalizer.normalize(replace_invalid_utf8(batch))
        _, starts, ends = splitter.tokenize_with_offsets(normalized)
        offsets = zip(normalized.numpy(), starts, ends, strict=True)
        for text, row_starts, row_ends in offsets:
            bounds = zip(row_starts.numpy().tolist(), row_ends.numpy().tolist(), strict=True)
            counts.update([text[first:last] for first, last in bounds])
    decoded = {word.decode("utf-8"): count for word, count in counts.items()}
    return collections.Counter(decoded), num_texts


def _count_unknown(counts, vocabulary):
    """Returns how many `[UNK]` a vocabulary makes of the words, and how many tokens."""
    splitter = build_wordpiece(vocabulary)
    unknown = vocabulary.index(UNKNOWN_TOKEN)
    num_unknown = num_tokens = 0
    words = iter(counts.items())
    while some := list(itertools.islice(words, _BATCH_WORDS)):
        pieces = splitter.tokenize([word for word, _ in some])
        times = np.array([count for _, count in some])
        times = np.repeat(times, pieces.row_lengths())
        num_tokens += int(times.sum())
        num_unknown += int(times[pieces.values.numpy() == unknown].sum())
    return num_unknown, num_tokens


def _batches(texts):
    batch, num_bytes = [], 0
    for position, text in enumerate(texts):
        # The elements of a tf.data.Dataset are scalar string tensors.
        text = as_bytes(text.numpy() if hasattr(text, "numpy") else text, position)
        batch.append(text)
        num_bytes += len(text)
        if len(batch) >= _BATCH_TEXTS or num_bytes >= _BATCH_BYTES:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def _select_characters(counts, vocabulary_size, num_special):
    """Returns the single characters of the vocabulary: bare ones, then those with a leading ##."""
    occurrences = collections.Counter()
    inside_words = set(string.ascii_letters + string.digits)
    for word, count in counts.items():
        for character in word:
            occurrences[character] += count
        # Punctuation and Chinese characters are words of their own and never stand inside one:
        # a "##;" would be a wasted entry.
        if len(word) > 1:
            inside_words.update(word)

    def cost(character):
        return 2 if character in inside_words else 1

    selected = {character for character in occurrences if character.isascii()}
    used = num_special + sum(map(cost, selected))
    if used > vocabulary_size:
        raise ValueError(
            f"Expected `vocabulary_size` to be at least {used} for the characters of these texts. "
            f"Received: vocabulary_size={vocabulary_size}."
        )
    # Most frequent first, then by code point, so that the result does not depend on the order of
    # the texts.
    for character in sorted(occurrences, key=lambda each: (-occurrences[each], each)):
        if character in selected:
            continue
        used += cost(character)
        if used > num_special + (vocabulary_size - num_special) // 2:
            break
        selected.add(character)
    bare = sorted(selected)
    return [*bare, *(SUFFIX_INDICATOR + each for each in bare if each in inside_words)]


def _learn_pieces(counts, characters, num_pieces):
    """Returns at most `num_pieces` pieces of two or more characters, the most frequent first."""
    words = sorted(
        (word, count)
        for word, count in counts.items()
        if 1 < len(word) <= _MAX_PIECE_LENGTH and characters.issuperset(word)
    )
    if not words or num_pieces <= 0:
        return []

    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

    def learn(threshold):
        learned = learner.learn(
            words,
            vocab_size=num_pieces,
            reserved_tokens=[],
            # Equal bounds make the learner work once, with this very threshold.
            upper_thresh=threshold,
            lower_thresh=threshold,
            max_token_length=_MAX_PIECE_LENGTH,
            max_unique_chars=len(characters),
            joiner=SUFFIX_INDICATOR,
        )
        return [piece for piece in learned if len(piece.removeprefix(SUFFIX_INDICATOR)) > 1]

    frequencies = [count for _, count in words]
    return _search_threshold(
        learn, num_pieces, min(frequencies), max(frequencies), sum(frequencies)
    )


def _search_threshold(learn, num_pieces, lowest, highest, total):
    """Finds the frequency threshold that gives `num_pieces` pieces or a few more, and cuts those.

    The learner takes one to two seconds for each threshold on a million words, and its own binary
    search tries about sixteen: it starts in the middle of all counts, where a handful of pieces is
    left, and it does not stop until the size is just under the one wanted. The number of pieces
    falls about as a power of the threshold, so a guess corrected on that scale needs one to four.
    """
    wanted = num_pieces * math.sqrt(_SURPLUS)
    above = below = None
    threshold = total / (16 * num_pieces)  # What English texts need, within a factor of two.
    # The search ends by itself, since each step narrows [lowest, highest].
    for step in itertools.count():
        threshold = min(max(round(threshold), lowest), highest)
        pieces = learn(threshold)
        if num_pieces <= len(pieces) <= _SURPLUS * num_pieces:
            return pieces[:num_pieces]
        if len(pieces) < num_pieces:
            below, highest = (threshold, pieces), threshold - 1
        else:
            above, lowest = (threshold, pieces), threshold + 1
        if lowest > highest:
            # Many ties: either list would do. The longer one, cut, uses the whole vocabulary.
            return above[1][:num_pieces] if above else below[1]
        if step >= 5:
            # The power law does not hold for this corpus: halve what is left.
            threshold = (lowest + highest) / 2
        elif above and below:
            threshold = _interpolate(above, below, wanted)
        else:
            threshold *= (max(len(pieces), 1) / wanted) ** 1.5


def _interpolate(above, below, wanted):
    """Returns the threshold between two (threshold, pieces) at which a power law has `wanted`."""
    log_thresholds = [math.log(threshold) for threshold, _ in (above, below)]
    log_sizes = [math.log(max(len(pieces), 1)) for _, pieces in (above, below)]
    share = (log_sizes[0] - math.log(wanted)) / (log_sizes[0] - log_sizes[1])
    return math.exp(log_thresholds[0] + share * (log_thresholds[1] - log_thresholds[0]))
