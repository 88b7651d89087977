"""import_beam: Apache Beam, or what to install."""


def import_beam():
    """Imports Apache Beam.

    Returns:
        The module `apache_beam`.

    Raises:
        ImportError: if it is missing (extra "beam").
    """
    try:
        import apache_beam
    except ImportError as error:
        raise ImportError(
            "A corpus is scored with Apache Beam, in an environment of its own, since it takes "
            "older versions of some packages: pip install 'keras_combiner[beam]'."
        ) from error
    return apache_beam
