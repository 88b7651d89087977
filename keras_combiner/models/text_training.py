"""TextTraining: what all models that train on texts have in common."""

import contextlib
import dataclasses
import math
import warnings
from pathlib import Path

import keras

from keras_combiner.atomic_files import atomic_write
from keras_combiner.batches import text_batches, text_inputs
from keras_combiner.batches.documents import check_share
from keras_combiner.batches.length_buckets import halved_lengths
from keras_combiner.keras_files import load_model
from keras_combiner.models import default_recipe, fit_arguments
from keras_combiner.models.class_weights import ClassWeights
from keras_combiner.models.fit_settings import FitSettings
from keras_combiner.models.text_training_callback import TextTrainingCallback
from keras_combiner.models.token_id_model import TokenIdModel


class TextTraining(TokenIdModel):
    """A part of a `keras.Model` with a `backbone`: `fit` and `evaluate` on texts, and files.

    A model that was never compiled is trained by `default_recipe`; `compile` replaces that.

    A subclass sets `backbone` and `learning_rate` (float, the highest one; None for one by the
    width of a backbone that starts from random weights), and writes `loss_and_metrics`,
    `_documents` and `_batches`.
    """

    learning_rate = None
    default_compilation = None  # what Keras holds of the default recipe, once it is compiled

    def loss_and_metrics(self):
        """Returns what `compile` takes by default besides an optimizer, a dict."""
        raise NotImplementedError

    def _documents(self, x, y=None, weights=None):
        """The `Documents` to train or evaluate on; raises what is wrong with their targets."""
        raise NotImplementedError

    def _batches(self, documents, batch_size, order="grouped", seed=0, training=False, **options):
        """The `TextBatches` of `Documents`."""
        raise NotImplementedError

    def _targets(self, documents):
        """Yields the targets of `Documents` in arrays, to be counted; of classes alone."""
        raise NotImplementedError

    def _class_weights(self, class_weight, targets, has_class_ids=False):
        """The `ClassWeights` that `fit` asks for; `targets` is a callable, for "balanced"."""
        if class_weight:
            raise ValueError(
                "`class_weight` is for classes, which texts that are their own targets have none "
                "of: leave it out."
            )
        return ClassWeights()

    def _check_shape_of_targets(self, x, y):
        """Raises for targets beside token ids that the loss of a user does not go with."""

    def _check_targets(self, targets):
        """Warns of targets that the model was not built for; `targets` is a callable."""

    def _weighing_labels(self, weights):
        """A context in which steps of training have `ClassWeights` that Keras does not know."""
        return contextlib.nullcontext()

    def _before_training(self):
        """Called once all checks of `fit` have passed."""

    @property
    def _compiled_by_user(self):
        return default_recipe.is_compiled_by_user(self)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=16,
        epochs=1,
        validation_split=0.0,
        validation_data=None,
        class_weight=None,
        sample_weight=None,
        seed=None,
        gradient_accumulation_steps=None,
        **kwargs,
    ):
        """Trains on texts, or as `keras.Model.fit` on token ids.

        Texts of about the same length share a batch, and are padded to one of a dozen lengths at
        most. With `shuffle=False` they stay in the order in which they come.

        Args:
            x: list of str (or an array, a tensor, a column of pandas or Arrow), a
                `keras_combiner.datasets.DocumentReader` (streamed, never held in memory as a
                whole), or what `keras.Model.fit` takes.
            y: labels, one a text, in any of these containers: what stands at the same position
                belongs together, whatever the index. A label is text, a number or a boolean, as
                `keras_combiner.datasets.label_names` reads them; a list of such for a task of
                "multi_label", a number for "regression". None if `x` is a reader, or texts that
                are their own targets.
            batch_size: int, documents (or windows) a step.
            epochs: int, passes over the documents.
            validation_split: float, share of the texts held out for validation, drawn with a
                fixed seed.
            validation_data: pair `(texts, labels)`, triple with weights, a reader, a list of texts
                that are their own targets, or token ids as `keras.Model.fit` takes them; takes
                precedence over `validation_split`.
            class_weight: dict of label to weight (1 for those that are left out), or "balanced":
                every class then weighs as much as any other. With several labels, a weight is that
                of the documents that have the label, and "balanced" lets them weigh as much, for
                this label, as the others. Beside token ids, keys that are numbers are class ids, as
                in Keras; strings are labels.
            sample_weight: numbers, one a text, by which its loss is multiplied, in addition to its
                class weight; each window of a text has the weight of the text. A reader with a
                `weight_field` brings them itself. With token ids, as in Keras.
            seed: int, which together with the epoch determines the order of the texts and the words
                that are hidden. If None, that of the training that `Checkpoints` resumes or,
                without one, a number from Python's generator, which `keras.utils.set_random_seed`
                sets.
            gradient_accumulation_steps: int, steps whose gradients `fit`'s own recipe averages for
                each change of the weights; None for one.
            **kwargs: what else `keras.Model.fit` takes. `callbacks` may hold those of
                `keras_combiner.training`, which need texts. With `steps_per_epoch`, an epoch
                continues where the last one stopped. `fit`'s own learning rate runs over all epochs
                from `initial_epoch` on; with a LearningRateScheduler or ReduceLROnPlateau it starts
                at its highest value, and these set it.

        Returns:
            `keras.callbacks.History`.

        Raises:
            TypeError: for an unknown argument, what is not a callback, or a data set of strings.
            ValueError: for a number out of range, a data set without an end and without
                `steps_per_epoch`; if texts and labels differ in number, a label is unknown, there
                is nothing to train or validate on, `class_weight` does not go with the task, or
                `gradient_accumulation_steps` with a model that you compiled.
        """
        settings = FitSettings.checked(
            batch_size, epochs, gradient_accumulation_steps, kwargs, self._compiled_by_user
        )
        # Keras does not forget by itself where BackupAndRestore let an earlier training go on.
        self._initial_epoch = None
        if not text_inputs.is_text(x):
            weights = self._class_weights(
                class_weight,
                lambda: fit_arguments.batches_of_targets(x, y, settings.steps_per_epoch),
                has_class_ids=True,
            )
            self._check_shape_of_targets(x, y)
            if y is not None:
                self._check_targets(lambda: [keras.ops.convert_to_numpy(y)])
            if validation_data is not None:
                settings = self._validated_on(validation_data, settings)
                validation_split = 0.0
            settings = settings.weighing(weights.by_class_id(), sample_weight)
            with self._weighing_labels(weights):
                return self._fit_token_ids(x, y, validation_split, settings)
        documents = self._documents(x, y, sample_weight)
        if validation_split and validation_data is None:
            documents, held_out = documents.hold_out(validation_split)
            validation_data = held_out.texts, held_out.labels, held_out.weights
        weights = self._class_weights(class_weight, lambda: self._targets(documents))
        self._check_targets(lambda: self._targets(documents))
        batches = self._batches(
            documents,
            settings.batch_size,
            order=settings.order,
            seed=settings.order_seed(seed),
            training=True,
            **weights.options(documents.has_weights),
        )
        if validation_data is not None:
            settings = self._validated_on(validation_data, settings)
        if not documents.has_weights:  # beside which Keras takes no class weights
            settings = settings.weighing(weights.by_class_id())
        with self._weighing_labels(weights):
            return self._fit_batches(batches, settings)

    def _validated_on(self, validation_data, settings):
        """The settings with what `fit` validates on, texts as batches of theirs."""
        batch_size = settings.others.get("validation_batch_size") or settings.batch_size
        x, y, sample_weight = fit_arguments.unpacked(validation_data)
        if not text_inputs.is_text(x):
            x = self._checked_token_ids(x, needs_targets=True)
            fit_arguments.check_validation(x, y, sample_weight, self.sequence_length)
            return settings.with_others(
                validation_data=(x, y, sample_weight), validation_batch_size=batch_size
            )
        steps = settings.others.get("validation_steps")
        documents = self._documents(x, y, sample_weight)
        batches = self._first_batches(documents, batch_size, steps, "validation_steps")
        if len(batches) == 0:
            raise ValueError("There is no document in `validation_data`. Leave it out, or fill it.")
        return settings.validated_on(batches)

    def _first_batches(self, documents, batch_size, steps=None, name="steps", **options):
        """The `TextBatches` of the first `steps` times `batch_size` documents, or of all."""
        if steps is None:
            return self._batches(documents, batch_size, **options)
        steps = fit_arguments.whole_number(name, steps, 1)
        batches = self._batches(documents.take(steps * batch_size), batch_size, **options)
        num_documents = len(batches.documents.windows) // batches.group_size
        if num_documents <= (steps - 1) * batch_size:
            warnings.warn(
                f"`{name}` is {steps}, but there are only {num_documents} documents: "
                f"{math.ceil(num_documents / batch_size)} batches of {batch_size}.",
                stacklevel=4,
            )
        return batches

    def _fit_token_ids(self, x, y, validation_split, settings):
        """As `keras.Model.fit`, by the default recipe unless the user compiled another."""
        x = self._checked_token_ids(x)
        if validation_split:
            check_share(validation_split)
        num_batches = default_recipe.num_batches(x, settings.batch_size, validation_split)
        default_recipe.compile_for_fit(self, num_batches, settings)
        # A data set brings its own batches.
        batch_size = settings.batch_size if default_recipe.are_arrays(x) else None
        self._before_training()
        return super().fit(
            x,
            y,
            batch_size=batch_size,
            validation_split=validation_split,
            **settings.for_keras(),
        )

    def _fit_batches(self, batches, settings):
        """As `keras.Model.fit`, on `TextBatches`; callbacks of ours are told what they ask for.

        Args:
            batches: `TextBatches`, of the training.
            settings: `FitSettings`.

        Returns:
            `keras.callbacks.History`.
        """
        checkpoints = settings.resuming
        try:
            if len(batches) == 0:
                raise ValueError("There is no document to train on.")
            steps = settings.steps_per_epoch or len(batches)
            settings = dataclasses.replace(settings, steps_per_epoch=steps)
            default_recipe.compile_for_fit(self, math.inf, settings)  # a stream
            _check_execution(self.steps_per_execution, steps)
            if settings.others.get("verbose", "auto") != 0:
                print(f"Training on {batches}.", flush=True)
            epoch, step = settings.initial_epoch, 0
            if checkpoints is not None:
                settings = settings.with_checkpoints_last()
                facts = settings.facts(batches)
                epoch, step = checkpoints.start_from(self, facts, settings.callbacks)
                settings = dataclasses.replace(settings, initial_epoch=epoch)
            for callback in settings.callbacks:
                if isinstance(callback, TextTrainingCallback):
                    callback.follow_batches(
                        batches, steps=steps, epochs=settings.epochs, position=(epoch, step)
                    )

            def position():
                # BackupAndRestore sets `_initial_epoch` later, when training begins.
                return (self._initial_epoch or epoch) * steps + step

            self._before_training()
            # One stream of all epochs: a position in it says what was seen.
            settings = settings.with_others(shuffle=False)
            return super().fit(batches.dataset(position=position), **settings.for_keras())
        except BaseException:
            # A callback may have replaced Keras's step, and Keras does not tell it of an error: the
            # next training must not use that step.
            self.train_function = None
            raise
        finally:
            if checkpoints is not None:
                checkpoints.release()

    def evaluate(self, x=None, y=None, batch_size=16, sample_weight=None, **kwargs):
        """Returns loss and metrics on texts, or, as `keras.Model.evaluate`, on token ids.

        Args:
            x: as in `fit`.
            y: as in `fit`.
            batch_size: int, texts (or windows) a step.
            sample_weight: as in `fit`.
            **kwargs: what else `keras.Model.evaluate` takes, for example `return_dict=True`.
                With `steps`, only the first `steps * batch_size` texts are read.

        Returns:
            Whatever `keras.Model.evaluate` returns. Where documents have several labels, metrics
            decide at one half, as in training, whatever the thresholds of `calibrate`.

        Raises:
            TypeError: for an unknown argument, or a data set of strings.
            ValueError: as in `fit`, and if there is no text.
        """
        batch_size, settings = fit_arguments.evaluation_settings("evaluate", batch_size, kwargs)
        if not self.compiled:
            default_recipe.compile_by_default(self)
        batches = text_batches.batches_of(x)  # of the texts that `fit` validates on
        if batches is not None:
            return self._evaluate_batches(batches, x, settings)
        if not text_inputs.is_text(x):
            if not fit_arguments.is_validation(settings):
                self._check_shape_of_targets(x, y)
                x = self._checked_token_ids(x)
            return super().evaluate(
                x, y, batch_size=batch_size, sample_weight=sample_weight, **settings
            )
        steps = settings.pop("steps", None)
        batches = self._first_batches(self._documents(x, y, sample_weight), batch_size, steps)
        if len(batches) == 0:
            raise ValueError("There is no document to evaluate on.")
        return self._evaluate_batches(batches, batches.whole_dataset(), settings)

    def _evaluate_batches(self, batches, dataset, settings):
        """As `keras.Model.evaluate`, on the data set of `TextBatches`."""
        return super().evaluate(dataset, **settings)

    def _padded_lengths(self, order):
        """The lengths that batches of texts are padded to, or None for those that waste least."""
        # Under XLA every length is a program of its own, and those of one call serve the next.
        is_compiled = (
            keras.backend.backend() == "jax" or getattr(self, "jit_compile", False) is True
        )
        if self.backbone.arguments["static_length"]:
            return [self.sequence_length]
        return halved_lengths(self.sequence_length) if is_compiled and order == "grouped" else None

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
            self.optimizer = None  # nobody would read its state: `fit` starts its recipe again
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
        return load_one_of(path, (cls,))


def load_one_of(path, classes):
    """Loads a model that may be of several classes.

    Args:
        path: as for `TextTraining.load`.
        classes: tuple of classes.

    Returns:
        A model of one of them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds another model.
    """
    path = Path(path)
    file = path / "model.keras" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"Expected a .keras file. There is none at {file}.")
    model = load_model(file)
    if not isinstance(model, classes):
        names = " or ".join(x.__name__ for x in classes)
        raise ValueError(f"{file} holds a {type(model).__name__}, not a {names}.")
    return model


def _check_execution(steps_per_execution, steps):
    """Raises a ValueError if Keras would take batches of the next epoch into one."""
    if steps % steps_per_execution:
        raise ValueError(
            f"`steps_per_execution` must divide the steps of an epoch, {steps}. Received: "
            f"{steps_per_execution}. Compile with another, or pass `steps_per_epoch`: a multiple, "
            "with which the documents left over start the next epoch."
        )
