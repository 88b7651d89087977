"""A small SavedModel with the signatures of an exported classifier, made without Keras."""

import tensorflow as tf


class StandIn(tf.Module):
    """Its answers follow from a text's bytes; `rounds` of work make it slow."""

    def __init__(self, name, rounds):
        super().__init__()
        self.label = name
        self.rounds = rounds

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        share = tf.cast(tf.strings.length(text) % 10, tf.float32) / 10
        work = tf.eye(256)
        for _ in tf.range(self.rounds):
            work = work @ work
        share += 0 * tf.reduce_sum(work)
        label = tf.where(share > 0.5, f"{self.label} long", f"{self.label} short")
        return {"probabilities": tf.stack([share, 1 - share], axis=1), "label": label}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def score(self, text):
        characters = tf.strings.bytes_split(text)
        ids = characters.with_values(
            tf.cast(tf.reshape(tf.io.decode_raw(characters.values, tf.uint8), [-1]), tf.int32) + 3
        )
        rows = tf.fill([tf.shape(text)[0], 1], 1)
        ids = tf.concat([rows, ids], axis=1).to_tensor()
        weights = tf.cast(ids, tf.float32) / 8
        return {**self.serve(text), "token_ids": ids, "token_weights": weights}


def write_stand_in(path, name="first", rounds=0, scores=True):
    """Writes the SavedModel.

    Args:
        path: str or path of the directory to make.
        name: str, what its labels begin with.
        rounds: int, more for a slower one.
        scores: bool, whether it has `serving_scores`.
    """
    model = StandIn(name, rounds)
    signatures = {"serving_default": model.serve}
    if scores:
        signatures["serving_scores"] = model.score
    tf.saved_model.save(model, str(path), signatures=signatures)
