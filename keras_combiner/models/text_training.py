"""TextTraining: what models that train on texts have in common, whatever they learn of them."""

import dataclasses
import math
import random
import warnings
from pathlib import Path

import keras
import tensorflow as tf

from keras_combiner.atomic_files import atomic_write
from keras_combiner.batches import text_batches, text_inputs
from keras_combiner.data_warning import DataWarning
from keras_combiner.keras_files import load_model
from keras_combiner.models import fit_arguments, recipe_schedule
from keras_combiner.models.token_id_model import TokenIdModel
from keras_combiner.text.tokenizer import MIN_SEQUENCE_LENGTH

# What else `keras.Model.fit` takes that makes one training differ from another.
_OF_THE_TRAINING = ("validation_freq", "validation_steps")
_SET_THE_LEARNING_RATE = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)

# Share of the batches that may be left over when gradients are accumulated, without a word.
_MOST_LEFT_OVER = 0.05


class TextTraining(TokenIdModel):
    """A part of a `keras.Model` with a `backbone`: a recipe of its own, batches of texts, files.

    A model that was never compiled is trained with AdamW, gradient clipping, and a learning rate
    that warms up and decays along a cosine over the epochs asked for. `compile` replaces that.
    With LearningRateScheduler or ReduceLROnPlateau among the callbacks, the learning rate is
    theirs to set: it starts at its highest.

    A subclass sets `backbone` and `learning_rate` (float, the highest one; None for one by the
    width of a backbone that starts from random weights), and writes `_recipe` and `_documents`.
    """

    learning_rate = None
    _recipe_compilation = None
    _validation = None

    def _recipe(self):
        """What `compile` takes besides an optimizer: a dict of loss and metrics."""
        raise NotImplementedError

    def _documents(self, x, y, batch_size, weights=None, **options):
        """The `TextBatches` of texts, labels and weights that a model is evaluated on."""
        raise NotImplementedError

    def _before_training(self):
        """Called once nothing that `fit` checks speaks against training."""

    @property
    def _compiled_by_user(self):
        if not self.compiled or self.optimizer is None:  # that is while `save` is at work
            return False
        return self._compile_config is not self._recipe_compilation

    def _compile_by_default(self, steps=None, gradient_accumulation_steps=None):
        """AdamW; a tenth of the steps to warm up, then a cosine to zero, if `steps` is known."""
        # The wider the layers, the smaller the steps that they bear.
        learning_rate = self.learning_rate
        if learning_rate is None:
            learning_rate = min(2e-3, 0.2 / self.backbone.arguments["hidden_dim"])
        if steps is not None:
            learning_rate = recipe_schedule.cosine(learning_rate, steps)
        self.compile(
            keras.optimizers.AdamW(
                learning_rate,
                weight_decay=0.01,
                clipnorm=1.0,
                gradient_accumulation_steps=gradient_accumulation_steps,
            ),
            **self._recipe(),
        )
        # Every `compile` makes another one, which tells this from those of the user.
        self._recipe_compilation = self._compile_config

    def _compile_for_fit(self, num_batches, settings, gradient_accumulation_steps):
        """By the recipe, unless the user compiled; refuses what does not go together.

        Args:
            num_batches: int, of an epoch; None or infinity as in `recipe_schedule.num_batches`.
            settings: dict, what `_fit_settings` returned.
            gradient_accumulation_steps: int or None.
        """
        callbacks, steps_per_epoch = settings["callbacks"], settings["steps_per_epoch"]
        if num_batches == math.inf and steps_per_epoch is None:
            raise ValueError(
                "The data set has no end. Pass `steps_per_epoch` to say where an epoch ends."
            )
        if not self._compiled_by_user:
            epochs = max(0, settings["epochs"] - settings["initial_epoch"])
            num_batches = None if num_batches == math.inf else num_batches
            steps = recipe_schedule.num_steps(num_batches, epochs, steps_per_epoch)
            _check_accumulation(gradient_accumulation_steps, steps)
            if any(isinstance(x, _SET_THE_LEARNING_RATE) for x in callbacks):
                steps = None  # they assign to it, which a schedule does not let them
            elif steps is None:
                warnings.warn(
                    "The data set does not say how many batches it has, so that the learning rate "
                    "neither warms up nor decays. Pass `steps_per_epoch`, or give the data set a "
                    "cardinality: `data.apply(tf.data.experimental.assert_cardinality(batches))`.",
                    stacklevel=4,
                )
            self._compile_by_default(steps, gradient_accumulation_steps)
            # Left to the first step, these variables make Keras trace it a second time.
            self.optimizer.build(self.trainable_variables)
        averages = getattr(self.optimizer, "use_ema", True)
        if not averages and any(isinstance(x, keras.callbacks.SwapEMAWeights) for x in callbacks):
            raise ValueError(
                "SwapEMAWeights needs an optimizer that averages: compile with one that has "
                "`use_ema=True`."
            )

    def _fit_settings(self, batch_size, epochs, gradient_accumulation_steps, settings):
        """Checks what `fit` takes, texts or not, before anything is read.

        Args:
            batch_size: as in `fit`.
            epochs: as in `fit`.
            gradient_accumulation_steps: as in `fit`.
            settings: dict, the other keyword arguments.

        Returns:
            triple of batch size, `gradient_accumulation_steps` (None for 1), and what goes to
            `keras.Model.fit`: a dict with at least callbacks (a list), epochs, initial_epoch and
            steps_per_epoch.
        """
        fit_arguments.refuse_unknown("fit", settings)
        accumulate = gradient_accumulation_steps
        if accumulate is not None:
            if self._compiled_by_user:
                raise ValueError(
                    "`gradient_accumulation_steps` is for the recipe of `fit`. Give it to the "
                    "optimizer that you compile with."
                )
            accumulate = fit_arguments.whole_number("gradient_accumulation_steps", accumulate, 1)
        checked = {
            "callbacks": fit_arguments.listed_callbacks(settings.get("callbacks")),
            "epochs": fit_arguments.whole_number("epochs", epochs, 0),
            "initial_epoch": fit_arguments.whole_number(
                "initial_epoch", settings.get("initial_epoch", 0), 0
            ),
            "steps_per_epoch": None,
        }
        for name in ("steps_per_epoch", "validation_steps", "validation_batch_size"):
            if settings.get(name) is not None:
                checked[name] = fit_arguments.whole_number(name, settings[name], 1)
        # Keras does not forget by itself where BackupAndRestore let an earlier training go on.
        self._initial_epoch = self._validation = None
        return (
            _batch_size(batch_size),
            None if accumulate == 1 else accumulate,
            {**settings, **checked},
        )

    def _validated_on(self, validation_data, batch_size, settings):
        """Makes batches of what `fit` validates on.

        Args:
            validation_data: as in `fit`, not None.
            batch_size: int, of the training.
            settings: dict, what `_fit_settings` returned.

        Returns:
            dict, the settings with "validation_data" for `keras.Model.fit`.
        """
        batch_size = settings.get("validation_batch_size") or batch_size
        x, y, sample_weight = fit_arguments.unpacked(validation_data)
        if not text_inputs.is_text(x):
            x = self._checked_token_ids(x, needs_targets=True)
            fit_arguments.check_validation(x, y, sample_weight, self.sequence_length)
            named = {"validation_data": (x, y, sample_weight), "validation_batch_size": batch_size}
            return {**settings, **named}
        steps = settings.get("validation_steps")
        batches = self._first_documents(
            x, y, batch_size, steps, "validation_steps", weights=sample_weight
        )
        if len(batches) == 0:
            raise ValueError("There is no document in `validation_data`. Leave it out, or fill it.")
        ours = ("validation_steps", "validation_batch_size")
        settings = {name: value for name, value in settings.items() if name not in ours}
        self._validation = _Validation(batches.dataset(count=len(batches)), batches)
        return {**settings, "validation_data": self._validation.dataset}

    def _first_documents(self, x, y, batch_size, steps=None, name="steps", weights=None, **options):
        """The `TextBatches` of the first `steps` times `batch_size` documents, or of all."""
        if steps is None:
            return self._documents(x, y, batch_size, weights=weights, **options)
        steps = fit_arguments.whole_number(name, steps, 1)
        x, y, weights = text_batches.take(x, y, weights, steps * batch_size)
        batches = self._documents(x, y, batch_size, weights=weights, **options)
        num_documents = len(batches.documents.windows)
        if num_documents <= (steps - 1) * batch_size:
            warnings.warn(
                f"`{name}` is {steps}, but there are only {num_documents} documents: "
                f"{math.ceil(num_documents / batch_size)} batches of {batch_size}.",
                stacklevel=4,
            )
        return batches

    def _evaluation_settings(self, method, batch_size, settings):
        """Checks what `evaluate` or `predict` takes; returns the batch size and the settings."""
        fit_arguments.refuse_unknown(method, settings)
        callbacks = settings.get("callbacks")
        if not isinstance(callbacks, keras.callbacks.CallbackList):  # `fit` passes its own
            settings = {**settings, "callbacks": fit_arguments.listed_callbacks(callbacks)}
        return _batch_size(batch_size), settings

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
        self, x, y, batch_size, validation_split, gradient_accumulation_steps, settings
    ):
        """As `keras.Model.fit`, by the recipe unless the user compiled another."""
        try:
            x = self._checked_token_ids(x)
            if settings.get("validation_data") is not None:
                validation_split = 0.0
            if validation_split:
                text_batches.check_share(validation_split)
            num_batches = recipe_schedule.num_batches(x, batch_size, validation_split)
            self._compile_for_fit(num_batches, settings, gradient_accumulation_steps)
            # A data set brings its own batches.
            batch_size = batch_size if recipe_schedule.are_arrays(x) else None
            self._before_training()
            return super().fit(
                x, y, batch_size=batch_size, validation_split=validation_split, **settings
            )
        finally:
            self._validation = None

    def _fit_batches(self, batches, gradient_accumulation_steps, settings):
        """As `keras.Model.fit`, on `TextBatches`; what the callbacks ask for, they are told.

        Args:
            batches: `TextBatches`, of the training.
            gradient_accumulation_steps: int or None.
            settings: dict, what `_fit_settings` returned and `_validated_on` added to.

        Returns:
            `keras.callbacks.History`.
        """
        checkpoints = _checkpoints(settings["callbacks"])
        try:
            if len(batches) == 0:
                raise ValueError("There is no document to train on.")
            epochs, steps = settings["epochs"], settings["steps_per_epoch"] or len(batches)
            settings = {**settings, "steps_per_epoch": steps, "shuffle": False}
            self._compile_for_fit(math.inf, settings, gradient_accumulation_steps)  # a stream
            _check_execution(self.steps_per_execution, steps)
            if settings.get("verbose", "auto") != 0:
                print(f"Training on {batches}.", flush=True)
            epoch, step = settings["initial_epoch"], 0
            if checkpoints is not None:
                _check_resumes_alone(settings["callbacks"], epoch)
                settings["callbacks"] = _with_checkpoints_last(settings["callbacks"], checkpoints)
                facts = self._facts(batches, settings)
                epoch, step = checkpoints.start_from(self, facts, settings["callbacks"])
                settings["initial_epoch"] = epoch
            for callback in settings["callbacks"]:
                if hasattr(callback, "follow_batches"):
                    callback.follow_batches(
                        batches, steps=steps, epochs=epochs, position=(epoch, step)
                    )

            def position():
                # BackupAndRestore has its say after this method's.
                return (self._initial_epoch or epoch) * steps + step

            self._before_training()
            # One stream of all epochs: a position in it says what was seen.
            return super().fit(batches.dataset(position=position), **settings)
        except BaseException:
            # A step that a callback put in the place of Keras's is not for the next training;
            # Keras does not tell callbacks of an error.
            self.train_function = None
            raise
        finally:
            self._validation = None
            if checkpoints is not None:
                checkpoints.release()

    def _facts(self, batches, settings):
        """What a training on `batches` is a function of, a dict for `Checkpoints`."""
        validation = self._validation and self._validation.batches.fingerprint("validation")
        return {
            **(validation or {}),
            **batches.fingerprint(),
            **{name: settings.get(name) for name in _OF_THE_TRAINING},
            "epochs": settings["epochs"],
            "steps": settings["steps_per_epoch"],
        }

    def get_compile_config(self):
        """Empty after the default recipe, whose schedule has run out when a fit is over."""
        return super().get_compile_config() if self._compiled_by_user else {}

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
            with atomic_write(path, overwrite) as unfinished:
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
        model = load_model(file)
        if not isinstance(model, cls):
            raise ValueError(f"{file} holds a {type(model).__name__}, not a {cls.__name__}.")
        return model


@dataclasses.dataclass
class _Validation:
    """The texts that `fit` validates on, while it runs."""

    dataset: tf.data.Dataset
    batches: text_batches.TextBatches


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
        callbacks: list of `keras.callbacks.Callback`.

    Returns:
        int.
    """
    if seed is None:
        checkpoints = _checkpoints(callbacks)
        seed = checkpoints and checkpoints.seed
    return random.randrange(2**31) if seed is None else seed


def _batch_size(batch_size):
    """Returns `batch_size` as an int; None is what it is if it is left out."""
    return 16 if batch_size is None else fit_arguments.whole_number("batch_size", batch_size, 1)


def _check_accumulation(gradient_accumulation_steps, steps):
    """Raises a ValueError if a training is over before a first change of the weights."""
    if gradient_accumulation_steps and steps and steps < gradient_accumulation_steps:
        raise ValueError(
            f"`gradient_accumulation_steps` is {gradient_accumulation_steps}, but there are only "
            f"{steps} steps in all: the weights would never change. Take fewer, or more epochs."
        )
    left_over = steps % gradient_accumulation_steps if gradient_accumulation_steps and steps else 0
    if left_over > _MOST_LEFT_OVER * (steps or 0):
        warnings.warn(
            f"The last {left_over} of {steps} batches change no weight: "
            f"`gradient_accumulation_steps` is {gradient_accumulation_steps}. Take one that "
            "divides the number of batches, or more epochs.",
            DataWarning,
            stacklevel=6,
        )


def _check_execution(steps_per_execution, steps):
    """Raises a ValueError if Keras would take batches of the next epoch into one."""
    if steps % steps_per_execution:
        raise ValueError(
            f"`steps_per_execution` must divide the steps of an epoch, {steps}. Received: "
            f"{steps_per_execution}. Compile with another, or pass `steps_per_epoch`: a multiple, "
            "with which the documents left over start the next epoch."
        )


def _check_resumes_alone(callbacks, initial_epoch):
    """Raises a ValueError if something else than `Checkpoints` says where training starts."""
    if initial_epoch or any(isinstance(x, keras.callbacks.BackupAndRestore) for x in callbacks):
        raise ValueError(
            "`Checkpoints` says where training starts: leave out `initial_epoch` and "
            "BackupAndRestore."
        )


def _with_checkpoints_last(callbacks, checkpoints):
    """After all others, and a History: what they know then belongs to the checkpoint."""
    others = [x for x in callbacks if x is not checkpoints]
    if not any(isinstance(x, keras.callbacks.History) for x in others):
        others.append(keras.callbacks.History())
    return [*others, checkpoints]


def _checkpoints(callbacks):
    """The callback out of a list that says where training starts, or None."""
    return next((x for x in callbacks if hasattr(x, "start_from")), None)


def _halves(longest):
    """`longest`, its half and so on down to some 64, in ascending order."""
    lengths = [longest]
    while lengths[0] >= 128:
        lengths.insert(0, -(-lengths[0] // 2))
    return lengths
