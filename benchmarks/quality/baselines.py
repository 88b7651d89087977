"""The rows that are not networks: the most common label, and TF-IDF."""

import time

from benchmarks.quality import data as data_sets
from benchmarks.quality.rows import ROOT_OPERATOR, TFIDF, TFIDF_TRUNCATED


def figures(row, data, settings):
    """Returns the figures of a row that is not a network."""
    import numpy as np

    train_labels, test_labels = data.labels["train"], data.labels["test"]
    if row in (TFIDF, TFIDF_TRUNCATED):
        return _tfidf(row, data, settings)
    kinds = {split: np.zeros(len(x), int) for split, x in data.token_ids.items()}
    if row == ROOT_OPERATOR:
        kinds = {split: x[:, 0] for split, x in data.token_ids.items()}
    started = time.process_time()
    # Counts of every label in the training documents, plus one.
    counts = np.ones((1 + max(x.max() for x in kinds.values() if len(x)), data.num_classes))
    np.add.at(counts, (kinds["train"], train_labels), 1)
    seconds = time.process_time() - started
    shares = counts / counts.sum(1, keepdims=True)
    probabilities = shares[kinds["test"]]
    return {
        "accuracy": float(np.mean(probabilities.argmax(1) == test_labels)),
        "loss": float(-np.mean(np.log(probabilities[np.arange(len(test_labels)), test_labels]))),
        "seconds": seconds,
    }


def _tfidf(row, data, settings):
    """Logistic regression on TF-IDF, its one setting chosen on the validation documents."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss
    except ImportError as error:
        raise ImportError(
            "The TF-IDF rows need scikit-learn: pip install 'keras_combiner[datasets]'."
        ) from error

    texts, labels = data.texts, data.labels
    if row == TFIDF_TRUNCATED:
        texts = data_sets.excerpts(data, settings["short_length"])
    started = time.process_time()
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
    train = vectorizer.fit_transform(texts["train"])
    validation, test = (vectorizer.transform(texts[split]) for split in ("validation", "test"))
    models = [
        LogisticRegression(C=strength, max_iter=1000).fit(train, labels["train"])
        for strength in (1, 10, 100, 1000)
    ]
    best = max(models, key=lambda model: model.score(validation, labels["validation"]))
    seconds = time.process_time() - started
    return {
        "accuracy": float(best.score(test, labels["test"])),
        "loss": float(log_loss(labels["test"], best.predict_proba(test), labels=best.classes_)),
        "seconds": seconds,
        "parameters": int(best.coef_.size + best.intercept_.size),
    }
