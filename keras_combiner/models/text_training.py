"""TextTraining: what models that train on texts have in common, whatever they learn of them."""

import math
import random
import zipfile
from pathlib import Path

import keras

from keras_combiner.text.tokenizer import MIN_SEQUENCE_LENGTH
from keras_combiner.whole_files import written_whole

# What else `keras.Model.fit` takes that makes one training differ from another.
_OF_THE_TRAINING = ("validation_freq", "validation_steps")


class TextTraining:
    """A part of a `keras.Model` with a `backbone`: a recipe of its own, batches of texts, files.

    A model that was never compiled is trained with AdamW, gradient clipping, and a learning rate
    that warms up and decays along a cosine over the epochs asked for. `compile` replaces that.

    A subclass sets `backbone` and `learning_rate` (float, the highest one; None for one by the
    width of a backbone that starts from random weights), and writes `_recipe`.
    """

    learning_rate = None
    _recipe_optimizer_id = None

    def _recipe(self):
        """What `compile` takes besides an optimizer: a dict of loss and metrics."""
        raise NotImplementedError

    @property
    def _compiled_by_user(self):
        if not self.compiled or self.optimizer is None:  # that is while `save` is at work
            return False
        return id(self.optimizer) != self._recipe_optimizer_id

    def _compile_by_default(self, steps=None, gradient_accumulation_steps=None):
        """AdamW; a tenth of the steps to warm up, then a cosine to zero, if `steps` is known."""
        # The wider the layers, the smaller the steps that they bear.
        learning_rate = self.learning_rate
        if learning_rate is None:
            learning_rate = min(2e-3, 0.2 / self.backbone.arguments["hidden_dim"])
        if steps is not None:
            warmup_steps = max(1, steps // 10)
            learning_rate = keras.optimizers.schedules.CosineDecay(
                initial_learning_rate=0.0,
                warmup_target=learning_rate,
                warmup_steps=warmup_steps,
                decay_steps=max(1, steps - warmup_steps),
            )
        self.compile(
            keras.optimizers.AdamW(
                learning_rate,
                weight_decay=0.01,
                clipnorm=1.0,
                gradient_accumulation_steps=gradient_accumulation_steps,
            ),
            **self._recipe(),
        )
        self._recipe_optimizer_id = id(self.optimizer)
        if steps is not None:
            # Left to the first step, these variables make Keras trace it a second time.
            self.optimizer.build(self.trainable_variables)

    def _refuse_accumulation(self, gradient_accumulation_steps):
        if gradient_accumulation_steps and self._compiled_by_user:
            raise ValueError(
                "`gradient_accumulation_steps` is for the recipe of `fit`. Give it to the "
                "optimizer that you compile with."
            )

    def _padded_lengths(self, order):
        """The lengths that batches of texts are padded to, or None for those that waste least."""
        # Under XLA every length is a program of its own, and those of one call serve the next.
        is_compiled = (
            keras.backend.backend() == "jax" or getattr(self, "jit_compile", False) is True
        )
        longest = self.backbone.arguments["sequence_length"]
        if self.backbone.arguments["static_length"]:
            return [longest]
        return _halves(longest) if is_compiled and order == "grouped" else None

    def _fit_token_ids(
        self,
        x,
        y,
        batch_size,
        epochs,
        validation_split=0.0,
        gradient_accumulation_steps=None,
        **kwargs,
    ):
        """As `keras.Model.fit`, by the recipe unless the user compiled another."""
        arrays = keras.tree.flatten(x)
        are_arrays = all(hasattr(array, "shape") for array in arrays)
        if not self._compiled_by_user:
            if are_arrays:
                steps = math.ceil(arrays[0].shape[0] * (1 - validation_split) / batch_size)
            else:
                steps = _num_batches(x)
            self._compile_by_default(steps and steps * epochs, gradient_accumulation_steps)
        return super().fit(
            x,
            y,
            # A data set brings its own batches, and Keras refuses another size.
            batch_size=batch_size if are_arrays else None,
            epochs=epochs,
            validation_split=validation_split,
            **kwargs,
        )

    def _fit_batches(
        self,
        batches,
        epochs,
        callbacks=None,
        gradient_accumulation_steps=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation=None,
        settings=None,
        **kwargs,
    ):
        """As `keras.Model.fit`, on `TextBatches`; what the callbacks ask for, they are told."""
        if len(batches) == 0:
            raise ValueError("There is no document to train on.")
        steps = steps_per_epoch or len(batches)
        if not self._compiled_by_user:
            self._compile_by_default(steps * epochs, gradient_accumulation_steps)
        if kwargs.get("verbose", "auto") != 0:
            print(f"Training on {batches}.", flush=True)
        epoch, step = initial_epoch, 0
        checkpoints = _checkpoints(callbacks)
        if checkpoints is not None:
            # After all others: what they know then belongs to the checkpoint.
            others = [x for x in callbacks if x is not checkpoints]
            if not any(isinstance(x, keras.callbacks.History) for x in others):
                others.append(keras.callbacks.History())
            callbacks = [*others, checkpoints]
            settings = {
                **({} if validation is None else validation.fingerprint("validation")),
                **batches.fingerprint(),
                **{name: kwargs.get(name) for name in _OF_THE_TRAINING},
                **(settings or {}),
                "epochs": epochs,
                "steps": steps,
            }
            epoch, step = checkpoints.start_from(self, settings, callbacks)
        for callback in callbacks if isinstance(callbacks, (list, tuple)) else ():
            if hasattr(callback, "follow_batches"):
                callback.follow_batches(batches, steps=steps, epochs=epochs, position=(epoch, step))
        try:
            return super().fit(
                # One stream of all epochs: a position in it says what was seen.
                batches.dataset(position=epoch * steps + step),
                callbacks=callbacks,
                initial_epoch=epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                shuffle=False,
                **kwargs,
            )
        except BaseException:
            # A step that a callback put in the place of Keras's is not for the next training;
            # Keras does not tell callbacks of an error.
            self.train_function = None
            raise
        finally:
            if checkpoints is not None:
                checkpoints.release()

    def get_compile_config(self):
        """None after the default recipe, whose schedule has run out when a fit is over."""
        return super().get_compile_config() if self._compiled_by_user else None

    def save(self, filepath, overwrite=True, **kwargs):
        """As `keras.Model.save`, but the file appears whole or not at all.

        Args:
            filepath: str or path, ending in ".keras".
            overwrite: bool, whether an existing file may be replaced.
            **kwargs: what else `keras.Model.save` takes.

        Raises:
            ValueError: if the path has another ending.
            FileExistsError: if the file exists and `overwrite` is false.
        """
        path = Path(filepath)
        if path.suffix != ".keras":
            raise ValueError(f"A model is saved to a path that ends in .keras. Received: {path}.")
        recipe = self.optimizer if self.compiled and not self._compiled_by_user else None
        if recipe is not None:
            self.optimizer = None  # its state is dead weight: `fit` will start its recipe anew
        try:
            with written_whole(path, overwrite) as unfinished:
                super().save(unfinished, **kwargs)
        finally:
            if recipe is not None:
                self.optimizer = recipe

    @classmethod
    def load(cls, path):
        """Loads what `save` wrote.

        Args:
            path: str or path of a .keras file, or of a directory that holds a model.keras.

        Returns:
            A model of this class.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file holds another model.
        """
        path = Path(path)
        file = path / "model.keras" if path.is_dir() else path
        if not file.is_file():
            raise FileNotFoundError(f"Expected a .keras file. There is none at {file}.")
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{file} is no .keras file. Name one that `save` wrote.")
        # Classifiers of every kind are known to Keras once they are imported; this one lives above.
        import keras_combiner.optimization  # noqa: F401

        model = keras.saving.load_model(file)
        if not isinstance(model, cls):
            raise ValueError(f"{file} holds a {type(model).__name__}, not a {cls.__name__}.")
        return model


def check_found(tokenizer):
    """Raises a ValueError if a pretrained source came without a tokenizer, which is then None."""
    if tokenizer is None:
        raise ValueError(
            "The source has no vocabulary of word pieces. Pass `tokenizer`: the path of a "
            "vocab.txt, or a keras_combiner.text.Tokenizer with the ids of the model."
        )


def check_sequence_length(sequence_length):
    """Raises a ValueError unless texts of `sequence_length` tokens can hold a word."""
    if sequence_length < MIN_SEQUENCE_LENGTH:
        raise ValueError(
            f"`sequence_length` must be at least {MIN_SEQUENCE_LENGTH}: two tokens frame a "
            f"text. Received: {sequence_length!r}."
        )


def order_seed(seed, callbacks):
    """Gives the seed of the order of texts.

    Args:
        seed: int, or None for that of a training to be resumed or, without one, a number out of
            Python's own generator, which `keras.utils.set_random_seed` sets.
        callbacks: what `fit` takes.

    Returns:
        int.
    """
    if seed is None:
        checkpoints = _checkpoints(callbacks)
        seed = checkpoints and checkpoints.seed
    return random.randrange(2**31) if seed is None else seed


def _num_batches(x):
    """How many batches a data set (or what else `keras.Model.fit` takes) has, or None."""
    if hasattr(x, "cardinality"):
        count = int(x.cardinality())
        return count if count > 0 else None
    return len(x) if hasattr(x, "__len__") else None


def _checkpoints(callbacks):
    """The callback out of a list that says where training starts, or None."""
    if not isinstance(callbacks, (list, tuple)):
        return None
    return next((x for x in callbacks if hasattr(x, "start_from")), None)


def _halves(longest):
    """`longest`, its half and so on down to some 64, in ascending order."""
    lengths = [longest]
    while lengths[0] >= 128:
        lengths.insert(0, -(-lengths[0] // 2))
    return lengths
