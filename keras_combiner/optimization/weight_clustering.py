"""WeightClustering: the numbers of a weight become few different ones while a model trains."""

import keras
import numpy as np
from keras import ops

from keras_combiner.fake_quantization import tfmot
from keras_combiner.fake_quantization.weights import kernels, refuse_empty, tables

_ROUNDS = 10  # of k-means, after which hardly any number changes its cluster


class WeightClustering(keras.callbacks.Callback):
    """Lets every kernel have few different values, which `fit` trains as shared weights.

    At the beginning the numbers of each kernel and each embedding table are clustered, and every
    one of them is replaced by its cluster's center. From then on the numbers of a cluster move
    together: after every step, all of them get the average of their new values. Biases and
    normalizations are left as they are.

    A file with few different values is smaller only once it is compressed: 16 values take 4 bits of
    32.

    Args:
        number_of_clusters: int, at least 2, the most different values of a weight.
        embeddings: bool, whether the embedding tables are clustered as well.

    Raises:
        ImportError: in `fit`, if tensorflow-model-optimization is missing (extra "tfmot").
        RuntimeError: in `fit`, if Keras runs on another backend than TensorFlow.
        ValueError: for a number of clusters out of range; in `fit`, if the model has nothing to
            cluster.

    Example:

    >>> from keras_combiner import LongDocumentClassifier
    >>> texts, labels = ["a b", "c d"] * 8, ["x", "y"] * 8
    >>> classifier = LongDocumentClassifier.from_texts(
    ...     texts, labels, sequence_length=32, tokenizer="bytes", num_layers=1
    ... )
    >>> clustering = WeightClustering(number_of_clusters=8)
    >>> _ = classifier.fit(texts, labels, batch_size=4, verbose=0, callbacks=[clustering])
    >>> max(clustering.report().values())
    8

    Source: Han et al., "Deep Compression", ICLR 2016, https://arxiv.org/abs/1510.00149; TFMOT's
    centroid initialisation and nearest centroids.
    """

    def __init__(self, number_of_clusters=16, embeddings=True):
        super().__init__()
        if not isinstance(number_of_clusters, int) or number_of_clusters < 2:
            raise ValueError(
                "`number_of_clusters` must be an int of at least 2, the most different values of a "
                f"weight. Received: {number_of_clusters!r}."
            )
        self.number_of_clusters = number_of_clusters
        self.embeddings = embeddings
        self._weights = {}

    def on_train_begin(self, logs=None):
        """Clusters the weights as they are."""
        found = {path: weight for path, (weight, _) in kernels(self.model).items()}
        if self.embeddings:
            found.update(tables(self.model))
        refuse_empty(found)
        self._weights = found
        self._clusters = {path: self._cluster(weight) for path, weight in found.items()}
        self._share()

    def _cluster(self, weight):
        """Which cluster each number of a weight belongs to, an int tensor of its size."""
        import tensorflow as tf

        centroids = tfmot.import_module("clustering.keras.clustering_centroids")
        algorithm = tfmot.import_module("clustering.keras.clustering_algorithm")
        numbers = ops.reshape(ops.cast(weight.value, "float32"), (-1,))
        # Not more than there are different numbers: k-means would leave clusters empty.
        count = min(self.number_of_clusters, len(np.unique(numbers)))
        start = centroids.DensityBasedCentroidsInitialisation(numbers, count)
        centers = tf.Variable(start.get_cluster_centroids())
        nearest = algorithm.ClusteringAlgorithm(centers)
        for _ in range(_ROUNDS):
            clusters = nearest.get_pulling_indices(numbers)
            averages = tf.math.unsorted_segment_mean(numbers, clusters, count)
            used = tf.math.bincount(tf.cast(clusters, tf.int32), minlength=count) > 0
            centers.assign(tf.where(used, averages, centers))
        return nearest.get_pulling_indices(numbers)

    def _share(self):
        """Sets all numbers of a cluster to their average."""
        import tensorflow as tf

        for path, weight in self._weights.items():
            numbers = ops.reshape(ops.cast(weight.value, "float32"), (-1,))
            clusters = self._clusters[path]
            averages = tf.math.unsorted_segment_mean(numbers, clusters, self.number_of_clusters)
            shared = ops.reshape(tf.gather(averages, clusters), weight.shape)
            weight.assign(ops.cast(shared, weight.dtype))

    def on_train_batch_end(self, batch, logs=None):
        """Lets the numbers of a cluster move together."""
        self._share()

    def on_train_end(self, logs=None):
        """Frees what only training needs."""
        del self._clusters

    def report(self):
        """Returns a dictionary, path of a clustered weight (str) -> its different values (int)."""
        return {
            path: len(np.unique(ops.convert_to_numpy(weight)))
            for path, weight in self._weights.items()
        }
