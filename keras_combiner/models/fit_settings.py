"""FitSettings: what `fit` takes besides the documents, checked."""

import dataclasses
import random

import keras

from keras_combiner.batches.text_batches import TextBatches
from keras_combiner.models import fit_arguments
from keras_combiner.models.text_training_callback import resuming

# What else `keras.Model.fit` takes that makes one training differ from another.
_OF_THE_TRAINING = ("validation_freq", "validation_steps")


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """The arguments of a `fit` that say how it trains, and what it validates on.

    Attributes:
        batch_size: int, examples a step.
        epochs: int, passes over the documents.
        initial_epoch: int, the first of them.
        steps_per_epoch: int, or None for all batches.
        callbacks: list of `keras.callbacks.Callback`.
        gradient_accumulation_steps: int of at least 2, or None.
        others: dict, what else goes to `keras.Model.fit` as it is.
        validation: `TextBatches` of texts that `others` hold as a data set, or None.
    """

    batch_size: int
    epochs: int
    initial_epoch: int
    steps_per_epoch: int | None
    callbacks: list
    gradient_accumulation_steps: int | None
    others: dict
    validation: TextBatches | None = None

    @classmethod
    def checked(
        cls, batch_size, epochs, gradient_accumulation_steps, keywords, compiled_by_user=False
    ):
        """Checks what a user passes, texts or not, before anything is read.

        Args:
            batch_size: as in `fit`; None stands for the default.
            epochs: as in `fit`.
            gradient_accumulation_steps: as in `fit`.
            keywords: dict, the other keyword arguments.
            compiled_by_user: bool, whether the recipe is not `fit`'s own.

        Returns:
            `FitSettings`.

        Raises:
            TypeError: for an unknown argument, or what is not a callback.
            ValueError: for a number out of range, and for `gradient_accumulation_steps` with the
                recipe of a user.
        """
        fit_arguments.refuse_unknown("fit", keywords)
        if gradient_accumulation_steps is not None:
            if compiled_by_user:
                raise ValueError(
                    "`gradient_accumulation_steps` is for the recipe of `fit`. Give it to the "
                    "optimizer that you compile with."
                )
            gradient_accumulation_steps = fit_arguments.whole_number(
                "gradient_accumulation_steps", gradient_accumulation_steps, 1
            )
        others = dict(keywords)
        callbacks = fit_arguments.listed_callbacks(others.pop("callbacks", None))
        epochs = fit_arguments.whole_number("epochs", epochs, 0)
        initial_epoch = fit_arguments.whole_number(
            "initial_epoch", others.pop("initial_epoch", 0), 0
        )
        for name in ("steps_per_epoch", "validation_steps", "validation_batch_size"):
            if others.get(name) is not None:
                others[name] = fit_arguments.whole_number(name, others[name], 1)
        return cls(
            batch_size=fit_arguments.checked_batch_size(batch_size),
            epochs=epochs,
            initial_epoch=initial_epoch,
            steps_per_epoch=others.pop("steps_per_epoch", None),
            callbacks=callbacks,
            gradient_accumulation_steps=(
                None if gradient_accumulation_steps == 1 else gradient_accumulation_steps
            ),
            others=others,
        )

    @property
    def resuming(self):
        """The `ResumingCallback` among the callbacks, or None."""
        return resuming(self.callbacks)

    @property
    def order(self):
        """str, of the batches of texts; see `keras_combiner.batches.batch_plan.BatchPlan`."""
        return "shuffled" if self.others.get("shuffle", True) else "given"

    def with_others(self, **others):
        """Returns the settings with other arguments for `keras.Model.fit`."""
        return dataclasses.replace(self, others={**self.others, **others})

    def validated_on(self, batches):
        """Returns the settings with texts to validate on.

        Args:
            batches: `TextBatches`.
        """
        ours = ("validation_steps", "validation_batch_size")
        others = {name: value for name, value in self.others.items() if name not in ours}
        others["validation_data"] = batches.whole_dataset()
        return dataclasses.replace(self, others=others, validation=batches)

    def weighing(self, class_weight=None, sample_weight=None):
        """Returns the settings with weights for `keras.Model.fit`, those that are not None."""
        weights = {"class_weight": class_weight, "sample_weight": sample_weight}
        return self.with_others(**{name: x for name, x in weights.items() if x is not None})

    def with_checkpoints_last(self):
        """Returns the settings with the `ResumingCallback` after all others, and a History.

        A checkpoint holds the state of the others, so that they have to be called before it.

        Raises:
            ValueError: if something else says where training starts, too.
        """
        is_backup = any(isinstance(x, keras.callbacks.BackupAndRestore) for x in self.callbacks)
        if self.initial_epoch or is_backup:
            raise ValueError(
                "`Checkpoints` says where training starts: leave out `initial_epoch` and "
                "BackupAndRestore."
            )
        others = [x for x in self.callbacks if x is not self.resuming]
        if not any(isinstance(x, keras.callbacks.History) for x in others):
            others.append(keras.callbacks.History())
        return dataclasses.replace(self, callbacks=[*others, self.resuming])

    def facts(self, batches):
        """Returns all that determines a training on `TextBatches`, a dict for checkpoints."""
        validation = {} if self.validation is None else self.validation.fingerprint("validation")
        return {
            **validation,
            **batches.fingerprint(),
            **{name: self.others.get(name) for name in _OF_THE_TRAINING},
            "epochs": self.epochs,
            "steps": self.steps_per_epoch,
        }

    def for_keras(self):
        """Returns the keyword arguments of `keras.Model.fit` except for the batch size, a dict."""
        return {
            **self.others,
            "callbacks": self.callbacks,
            "epochs": self.epochs,
            "initial_epoch": self.initial_epoch,
            "steps_per_epoch": self.steps_per_epoch,
        }

    def order_seed(self, seed):
        """Returns the seed of the order of texts.

        Args:
            seed: int, or None for that of a training to be resumed or, without one, a number from
                Python's own generator, which `keras.utils.set_random_seed` sets.

        Returns:
            int.
        """
        if seed is None and self.resuming is not None:
            seed = self.resuming.seed
        return random.randrange(2**31) if seed is None else seed
