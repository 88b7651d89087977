"""A small SavedModel with the signatures of an exported classifier, made without Keras."""

import tensorflow as tf

# How many bytes of a text it reads.
MOST_BYTES = 2000
# The text whose answer is broken.
NOT_A_NUMBER = "not a number"


class StandIn(tf.Module):
    """Its answers follow from a text's bytes; `rounds` of work make it slow."""

    def __init__(self, name, rounds, counts):
        super().__init__()
        self.label = name
        self.rounds = rounds
        self.counts = counts

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        read = tf.strings.substr(text, 0, MOST_BYTES)
        share = tf.cast(tf.strings.length(read) % 10, tf.float32) / 10
        share = tf.where(text == NOT_A_NUMBER, float("nan"), share)
        work = tf.eye(256)
        for _ in tf.range(self.rounds):
            work = work @ work
        share += 0 * tf.reduce_sum(work)
        label = tf.where(share > 0.5, f"{self.label} long", f"{self.label} short")
        outputs = {"probabilities": tf.stack([share, 1 - share], axis=1), "label": label}
        if self.counts:
            outputs["tokens"] = tf.strings.length(read) + 1
            outputs["truncated"] = tf.strings.length(text) > MOST_BYTES
        return outputs

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def score(self, text):
        characters = tf.strings.bytes_split(tf.strings.substr(text, 0, MOST_BYTES))
        ids = characters.with_values(
            tf.cast(tf.reshape(tf.io.decode_raw(characters.values, tf.uint8), [-1]), tf.int32) + 3
        )
        rows = tf.fill([tf.shape(text)[0], 1], 1)
        ids = tf.concat([rows, ids], axis=1).to_tensor()
        weights = tf.cast(ids, tf.float32) / 8
        return {**self.serve(text), "token_ids": ids, "token_weights": weights}


def write_stand_in(path, name="first", rounds=0, scores=True, counts=True):
    """Writes the SavedModel.

    Args:
        path: str or path of the directory to make.
        name: str, what its labels begin with.
        rounds: int, more for a slower one.
        scores: bool, whether it has `serving_scores`.
        counts: bool, whether it tells `tokens` and `truncated`, which older exports do not.
    """
    model = StandIn(name, rounds, counts)
    signatures = {"serving_default": model.serve}
    if scores:
        signatures["serving_scores"] = model.score
    tf.saved_model.save(model, str(path), signatures=signatures)
