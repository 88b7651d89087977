"""SavedModelScorer: an exported SavedModel that scores a batch of texts."""

import numpy as np

_SCORES = "serving_scores"
_DEFAULT = "serving_default"
_REMEDY = "Name the labels.txt that was written for this model."
_TOKENS = {"token_ids", "token_ends"}


class SavedModelScorer:
    """A SavedModel that `keras_combiner.export.export_saved_model` wrote, in memory.

    Args:
        path: str or path of the SavedModel's directory.
        labels: list of str, the classes in the order of the model's probabilities, which are named
            by them then; None for a plain list of probabilities.

    Raises:
        ImportError: if tensorflow-text is missing (extra "text").
        ValueError: if the SavedModel takes no text, or the labels are not those of its classes, or
            it has none.
    """

    def __init__(self, path, labels=None):
        import tensorflow as tf

        try:
            import tensorflow_text  # noqa: F401  registers the tokenizer's operations
        except (ImportError, tf.errors.NotFoundError) as error:
            raise ImportError(
                "A SavedModel that takes text needs tensorflow-text in the version of the "
                f"installed TensorFlow ({tf.__version__}): pip install 'keras_combiner[text]'. "
                f"The import said: {error}"
            ) from error
        # Signatures do not keep the variables alive; the object that was loaded does.
        self._loaded = tf.saved_model.load(str(path))
        signatures = self._loaded.signatures
        if _DEFAULT not in signatures or set(_inputs(signatures[_DEFAULT])) != {"text"}:
            raise ValueError(
                f"Expected a SavedModel whose signature {_DEFAULT!r} takes `text`. Received: "
                f"{path} with the signatures {sorted(signatures) or 'none'}."
            )
        self._names = sorted(signatures[_DEFAULT].structured_outputs)
        if labels is not None and "probabilities" not in self._names:
            raise ValueError(
                f"Names of labels are for a model with probabilities. Received: {path}, which "
                f"returns {', '.join(self._names)}. Leave them out."
            )
        # Older exports tell what they read in their scores only.
        self._counts_tokens = (
            "truncated" not in self._names
            and _SCORES in signatures
            and set(signatures[_SCORES].structured_outputs) >= _TOKENS
        )
        self._run = signatures[_SCORES if self._counts_tokens else _DEFAULT]
        self._constant = tf.constant
        self._labels = labels
        self.score([""])  # the first run is slower, once, and shows what does not run

    def score(self, texts):
        """Scores texts together.

        Args:
            texts: list of str, at least one.

        Returns:
            list of dict, one a text, of what JSON can hold: "label" (None where there is none) and
            "probabilities", or "value", or "embedding", as the model has it; of several labels
            "labels", the most probable first, if their names are known, or else "is_label" (list of
            bool); "tokens" (int, how many the model read) and "truncated" (bool, whether there was
            more), unless an old export does not tell; "windows" (int), if the model reads long
            texts in windows.

        Raises:
            ValueError: if what the model computes of a text is not a finite number.
        """
        contents = [text.encode() for text in texts]
        outputs = {k: v.numpy() for k, v in self._run(text=self._constant(contents)).items()}
        rows = []
        for i, content in enumerate(contents):
            row = {name: _plain(name, outputs[name][i]) for name in self._names}
            if row.get("label") == "":  # below the model's threshold
                row["label"] = None
            if self._labels is not None and "probabilities" in row:
                row["probabilities"] = self._named(row["probabilities"], row.get("label"))
                if "is_label" in row:
                    row["labels"] = self._given(row.pop("is_label"), row["probabilities"])
            if self._counts_tokens:
                row["tokens"] = int(np.count_nonzero(outputs["token_ids"][i]))
                # Blanks at the end are not tokens.
                end = int(outputs["token_ends"][i].max(initial=0))
                row["truncated"] = bool(content[end:].strip())
            rows.append(row)
        return rows

    def _named(self, probabilities, label):
        if len(probabilities) != len(self._labels):
            raise ValueError(
                f"Expected a label for each of the model's {len(probabilities)} classes. Received: "
                f"{len(self._labels)} labels. {_REMEDY}"
            )
        named = dict(zip(self._labels, probabilities, strict=True))
        if len(named) < len(probabilities):
            raise ValueError(f"Expected every label once. Received: {self._labels}. {_REMEDY}")
        # A label's probability is the largest; an empty label says nothing.
        if label and named.get(label, -1) < max(probabilities):
            raise ValueError(
                f"Expected the model's labels in its order. Received others: the model says "
                f"{label!r} where they say {max(named, key=named.get)!r}. {_REMEDY}"
            )
        return named

    def _given(self, is_label, probabilities):
        given = [x for x, yes in zip(self._labels, is_label, strict=True) if yes]
        return sorted(given, key=lambda label: -probabilities[label])


def _inputs(signature):
    return signature.structured_input_signature[1]


def _plain(name, value):
    if isinstance(value, bytes):
        return value.decode()
    if not np.isfinite(value).all():  # JSON has no NaN
        raise ValueError(f"Expected finite numbers as the model's `{name}`. Received: {value}.")
    return value.tolist()
