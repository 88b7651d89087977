"""The config.json of a Hugging Face checkpoint, of which every key has to be understood."""

import json
import math

from keras_combiner.layers import gelu_approximate

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": gelu_approximate,
    "gelu_pytorch_tanh": gelu_approximate,
    "gelu_fast": gelu_approximate,
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
# What hidden states do not hang on: heads, tokens, generation, training, storage.
_BESIDE_THE_POINT = {
    *("architectures", "auto_map", "model_type", "name_or_path", "transformers_version"),
    *("dtype", "torch_dtype", "torchscript", "use_bfloat16", "tf_legacy_loss", "use_cache"),
    *("bos_token_id", "cls_token_id", "eos_token_id", "mask_token_id", "sep_token_id"),
    *("bos_token", "cls_token", "eos_token", "mask_token", "sep_token", "pad_token", "unk_token"),
    *("matryoshka_dimensions", "is_matryoshka"),
    *("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "prefix"),
    *("tokenizer_class", "vocab_size", "max_position_embeddings", "tie_word_embeddings"),
    *(
        "sentence_transformers",
        "finetuning_task",
        "id2label",
        "label2id",
        "num_labels",
        "problem_type",
    ),
    *("task_specific_params", "classifier_dropout", "classifier_activation", "classifier_bias"),
    *("classifier_pooling", "decoder_bias", "return_dict", "output_attentions"),
    *("output_hidden_states", "chunk_size_feed_forward", "gradient_checkpointing"),
    *("initializer_range", "initializer_cutoff_factor", "max_length", "min_length", "do_sample"),
    *("early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature"),
    *("top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty"),
    *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"),
    *("num_return_sequences", "output_scores", "return_dict_in_generate", "suppress_tokens"),
    *("remove_invalid_values", "exponential_decay_length_penalty", "begin_suppress_tokens"),
}
_OTHER_TOKENS = ("bos_token_id", "cls_token_id", "eos_token_id", "mask_token_id", "sep_token_id")
# What no encoder of ours is, with what it then says.
_ONLY = {
    "is_decoder": (False, None),
    "is_encoder_decoder": (False, None),
    "is_causal": (False, None),
    "causal_mask": (False, None),
    "add_cross_attention": (False, None),
    "cross_attention_hidden_size": (None,),
    "tie_encoder_decoder": (False, None),
    "pruned_heads": ({}, [], None),
}
REQUIRED = object()  # in place of a default, for a setting that has to be there


class CheckpointConfig:
    """The settings of a model, which notes those that were read.

    Args:
        path: `pathlib.Path` of the config.json, for messages.
        content: dict, what is in it.
    """

    def __init__(self, path, content):
        self.path = path
        self._content = content
        self._read = set()

    def has(self, name):
        """Says whether a setting is there, be its value null."""
        return name in self._content

    def get(self, name, default=REQUIRED):
        """Returns a setting, or a default where it is left out.

        Raises:
            ValueError: if it is left out and has no default.
        """
        self._read.add(name)
        value = self._content.get(name, default)
        if value is REQUIRED:
            raise ValueError(f"Expected {name} in {self.path}. It is missing.")
        return value

    def integer(self, name, default=REQUIRED):
        """Returns a setting that is an int of at least 1."""
        value = self.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(name, "an int of at least 1", value)
        return value

    def integer_or_null(self, name, default):
        """Returns a setting that is an int of at least 1, or `default` if it is null."""
        return default if self.get(name, None) is None else self.integer(name)

    def number(self, name, default=REQUIRED, least=0.0):
        """Returns a setting that is a number above or equal to `least`, as a float."""
        return self.checked_number(name, self.get(name, default), least)

    def checked_number(self, name, value, least=0.0):
        """Returns the value of a setting as a float, if it is a number of at least `least`."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or value < least:
            raise self.error(name, f"a number of at least {least:g}", value)
        return float(value)

    def flag(self, name, default=REQUIRED):
        """Returns a setting that is true or false."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "true or false", value)
        return value

    def activation(self, name, default=REQUIRED):
        """Returns an activation as our layers take it."""
        value = self.get(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise self.error(name, f"an activation of {', '.join(ACTIVATIONS)}", value)
        return ACTIVATIONS[value]

    def expect(self, name, *values):
        """Refuses a setting that is there and is none of `values`."""
        value = self.get(name, values[0])
        if value not in values:
            raise self.error(name, json.dumps(values[0]), value)

    def padding(self, default, other_tokens=None):
        """Returns `pad_token_id`; None if it is null, or the id of a token that texts have as well.

        Args:
            default: int, the family's id, or `REQUIRED`.
            other_tokens: dict, the family's ids of other tokens, such as "eos_token_id".

        Raises:
            ValueError: if it is not a token id.
        """
        value, vocabulary_size = self.get("pad_token_id", default), self.integer("vocab_size")
        if value is None:
            return None
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not 0 <= value < vocabulary_size
        ):
            raise self.error(
                "pad_token_id", f"a token id, from 0 to {vocabulary_size - 1}, or null", value
            )
        for name in _OTHER_TOKENS:
            ids = self._content.get(name, (other_tokens or {}).get(name))
            if value in (ids if isinstance(ids, list) else [ids]):
                return None
        return value

    def error(self, name, expected, value):
        """Returns a ValueError that says what was expected and received at a key."""
        shown = json.dumps(value, ensure_ascii=False)
        return ValueError(f"Expected {name} in {self.path} to be {expected}. Received: {shown}.")

    def refuse_unread(self, beside_the_point=()):
        """Refuses settings that were not read and are not known to be beside the point.

        Args:
            beside_the_point: names of settings that hidden states of this family do not hang on.

        Raises:
            ValueError: if there is one.
        """
        for name, values in _ONLY.items():
            self.expect(name, *values)
        known = {*self._read, *_BESIDE_THE_POINT, *beside_the_point}
        for name, value in self._content.items():
            if name in known or name.startswith("_"):
                continue
            raise ValueError(
                f"{self.path} says {name}: {json.dumps(value, ensure_ascii=False)[:80]}, and it is "
                "not known what that does to the model. If hidden states do not hang on it, remove "
                "it from the file; otherwise the model cannot be converted."
            )
