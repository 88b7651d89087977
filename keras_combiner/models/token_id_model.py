"""TokenIdModel: what every model that is called with token ids refuses."""

from keras_combiner.models.fit_arguments import refuse_cloning, refuse_strings


class TokenIdModel:
    """A part of a functional `keras.Model` whose inputs are token ids.

    Calling it with strings is refused, and so is `keras.models.clone_model`.
    """

    def __call__(self, *args, **kwargs):
        """As `keras.Model.__call__`, on token ids only."""
        refuse_strings(self, args[:1])
        return super().__call__(*args, **kwargs)

    def _run_through_graph(self, *args, **kwargs):
        refuse_cloning(self, kwargs)
        return super()._run_through_graph(*args, **kwargs)
