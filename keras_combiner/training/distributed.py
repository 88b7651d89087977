"""Distributed: training on several devices or machines, which split every batch among them."""

import json
import os
import zlib

import keras

from keras_combiner.layers import CombinerAttention
from keras_combiner.models.language_model import LanguageModel
from keras_combiner.models.text_training_callback import TextTrainingCallback
from keras_combiner.training.shared_step import shared_step
from keras_combiner.training.tf_config import check_tf_config

STRATEGIES = ("mirrored", "multi_worker")


class Distributed(TextTrainingCallback):
    """Splits every batch of `LongDocumentClassifier.fit` between devices, and between machines.

    All see the same batches and each takes its share of the rows: `batch_size` is that of all
    together, and weights, loss and metrics are those of a training on one device, except for
    rounding and the random numbers of dropout. "mirrored" takes all GPUs of this machine (without
    any, its CPU). "multi_worker" takes those of all machines that the environment variable
    TF_CONFIG names; each of them runs the same program, on the same documents. Make it before you
    use anything else of TensorFlow; making it waits for the other machines.

    Fault tolerance is that of `Checkpoints`, in a file that all machines can read: when one of
    them ends, the others stop with an error, and all are started again with `resume=True`. Only
    the chief should write: give the other callbacks `write=distributed.is_chief`.

    Make the model as usual, outside of the scope of any strategy. Programs are not compiled by XLA.
    Validation is not split: every machine does all of it. Needs the TensorFlow backend.

    Args:
        strategy: "mirrored", "multi_worker", or a `tf.distribute.MirroredStrategy` or
            `tf.distribute.MultiWorkerMirroredStrategy`.

    Attributes:
        strategy: `tf.distribute.Strategy`.
        is_chief: bool, whether this is the process that should write files.
        num_workers: int, processes that take part.

    Raises:
        ValueError: for another strategy or backend, or a TF_CONFIG that is missing or wrong; in
            `fit`, if the workers' documents or settings differ, or the model cannot be trained
            this way.
        RuntimeError: in `fit`, if other workers have ended.

    Example:

    >>> distributed = Distributed("mirrored")
    >>> distributed.is_chief, distributed.num_workers
    (True, 1)
    """

    def __init__(self, strategy):
        super().__init__()
        self.strategy = _strategy(strategy)
        resolver = self.strategy.cluster_resolver
        cluster = resolver.cluster_spec().as_dict() if resolver else {}
        self.num_workers = max(1, sum(map(len, cluster.values())))
        self._worker = 0
        if self.num_workers > 1:
            # The chief, where there is one, comes before the workers.
            is_behind_chief = resolver.task_type == "worker" and "chief" in cluster
            self._worker = resolver.task_id + (len(cluster["chief"]) if is_behind_chief else 0)
        self.is_chief = self._worker == 0
        self._facts = None

    def agree(self, **facts):
        """Waits for all workers, and checks that all of them have the same facts.

        Args:
            **facts: what JSON can hold.

        Raises:
            ValueError: if another worker says something else.
            RuntimeError: if another worker has ended.
        """
        if self.num_workers == 1:
            return
        checksums = [zlib.crc32(json.dumps(x, sort_keys=True).encode()) for x in facts.values()]
        said = self._from_all(checksums)
        others = [name for name, row in zip(facts, said, strict=True) if len(set(row)) > 1]
        if others:
            raise ValueError(
                f"The workers disagree about: {', '.join(others)}. All of them must be given the "
                "same documents and options, and see the same files of the training. Here: "
                + ", ".join(f"{name} {facts[name]}" for name in others)
            )

    def follow_batches(self, batches, steps, epochs, position):
        """See `TextTrainingCallback.follow_batches`."""
        self._facts = {
            "epochs": epochs,
            "steps": steps,
            "epoch and step to begin with": position,
            # Every worker has to say as much as the others, with weights of documents or without.
            "weights of the training documents": None,
            **batches.fingerprint(),
        }

    def on_train_begin(self, logs=None):
        """Replaces the step of Keras by its own."""
        model = self.model
        self._check(model)
        if self.num_workers > 1:
            labels = getattr(model, "labels", None)
            shapes = [list(x.shape) for x in model.variables]
            self.agree(labels=labels, **{"weights' shapes": shapes}, **self._facts)
            self._take_from_chief(model.variables)
        model.train_function = self._train_function(model)

    def on_train_end(self, logs=None):
        """Restores the step of Keras."""
        self.model.train_function = None

    def _check(self, model):
        import tensorflow as tf

        if isinstance(model.variables[0].value, tf.distribute.DistributedValues):
            raise ValueError(
                "The model was made in the scope of a strategy. Make it outside: `Distributed` "
                "does the rest."
            )
        if model.steps_per_execution > 1:
            raise ValueError(
                "`Distributed` runs one step at a time. Received: "
                f"steps_per_execution={model.steps_per_execution}. Compile with 1."
            )
        if getattr(model, "learns_ranges", False):
            raise ValueError(
                "Quantization-aware training learns ranges that workers do not share: train "
                "without `Distributed` (--strategy of the command)."
            )
        for layer in model._flatten_layers():
            if isinstance(layer, CombinerAttention) and layer.plan.learns_without_gradients:
                raise ValueError(
                    f"The plan {type(layer.plan).__name__} learns from the documents that it sees, "
                    "of which every replica sees others: train without `Distributed` (--strategy "
                    "of the command), or with another plan."
                )
        if isinstance(model, LanguageModel):
            raise ValueError(
                "The loss of a language model is a mean over its targets, of which every replica "
                "has others: `Distributed` trains classifiers."
            )
        if self.num_workers > 1 and self._facts is None:
            raise ValueError(
                "Several workers need `LongDocumentClassifier.fit` on texts, which gives all of "
                "them the same batches."
            )

    def _train_function(self, model):
        step = shared_step(model, self.strategy, self._worker)
        return lambda iterator: self._with_others(step, *next(iterator))

    def _with_others(self, step, *arguments):
        import tensorflow as tf

        try:
            return step(*arguments)
        except (
            tf.errors.UnavailableError,
            tf.errors.AbortedError,
            tf.errors.CancelledError,
            tf.errors.DeadlineExceededError,
        ) as error:
            if self.num_workers == 1:
                raise
            raise RuntimeError(
                "Another worker has ended or cannot be reached. Start all of them again; with "
                "resume=True they go on from the last checkpoint. "
                f"TensorFlow said: {_first_cause(error)}"
            ) from error

    def _from_all(self, numbers):
        """A row a number, with what each worker has for it."""
        import numpy as np
        import tensorflow as tf

        own = np.zeros([max(1, len(numbers)), self.num_workers])  # exact for 32 bits
        own[: len(numbers), self._worker] = numbers
        return self._summed([tf.constant(own)])[0].numpy().tolist()[: len(numbers)]

    def _take_from_chief(self, variables):
        import tensorflow as tf

        # The same seed gives the same weights, except for the last bit on another kind of machine.
        values = [tf.convert_to_tensor(x.value) for x in variables]
        chiefs = self._summed(values if self.is_chief else map(tf.zeros_like, values))
        for variable, value in zip(variables, chiefs, strict=True):
            variable.assign(value)

    def _summed(self, tensors):
        """Sums over workers of what each has: a list of tensors."""
        import tensorflow as tf

        def sum_up(tensors):
            replica = tf.distribute.get_replica_context()
            is_first = replica.replica_id_in_sync_group % self._replicas_here == 0
            return [replica.all_reduce("SUM", x * tf.cast(is_first, x.dtype)) for x in tensors]

        def run(*tensors):
            return self.strategy.run(sum_up, args=(tensors,))

        summed = self._with_others(tf.function(run, autograph=False), *tensors)
        return [self.strategy.experimental_local_results(x)[0] for x in summed]

    @property
    def _replicas_here(self):
        return self.strategy.num_replicas_in_sync // self.num_workers


def _strategy(strategy):
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`Distributed` needs the TensorFlow backend of Keras; it is "
            f"{keras.backend.backend()!r}. On JAX there is keras.distribution: see docs/tpu.md."
        )
    import tensorflow as tf

    kinds = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
    if isinstance(strategy, kinds):
        return strategy
    if strategy == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return kinds[0]([x.name for x in devices])
    if strategy == "multi_worker":
        cluster, (job, index) = check_tf_config(os.environ)
        others = [x for addresses in cluster.values() for x in addresses]
        others.remove(cluster[job][index])
        print(f"Waiting for {', '.join(others) or 'nobody else'} ...", flush=True)
        return kinds[1]()
    raise ValueError(
        f"`strategy` must be one of {', '.join(map(repr, STRATEGIES))}, or a MirroredStrategy or "
        f"MultiWorkerMirroredStrategy of tf.distribute. Received: {strategy!r}."
    )


def _first_cause(error):
    """The line of an error that says what happened."""
    lines = [x for x in str(error.message).splitlines() if x.strip()]
    return next((x for x in lines if "Collective" in x and "defined at" not in x), lines[-1])
