"""A check of the keyword arguments of models."""


def check_keywords(model, keywords):
    """Raises a TypeError for keywords other than those that every Keras model takes.

    `keras.Model` ignores unknown arguments: a misspelt option would go unnoticed.

    Args:
        model: the model that is being constructed.
        keywords: dict, its `**kwargs`.
    """
    unknown = sorted(set(keywords) - {"name", "trainable"})
    if unknown:
        raise TypeError(
            f"{type(model).__name__} got arguments that it does not have: {', '.join(unknown)}. "
            f"help({type(model).__name__}) lists those that it has."
        )
