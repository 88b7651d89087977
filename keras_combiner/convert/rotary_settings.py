"""The rotary positions of a Hugging Face checkpoint, in the words of Transformers 4 and 5."""

import json

_KNOWN = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}


def rotary_base(config, default):
    """Reads the base of the angles of a model whose layers all have the same.

    Transformers 5 writes `rope_parameters`, Transformers 4 `rope_theta` and `rope_scaling`.

    Args:
        config: `CheckpointConfig`.
        default: float, the family's base, where none is said.

    Returns:
        float.

    Raises:
        ValueError: for angles that are scaled, and where the two disagree.
    """
    refuse_scaling(config)
    parameters = config.get("rope_parameters", None)
    if parameters is None:
        return config.number("rope_theta", default, least=1)
    base = base_of(config, "rope_parameters", parameters)
    if base is None:
        return config.number("rope_theta", default, least=1)
    if config.get("rope_theta", base) != base:
        raise config.error(
            "rope_theta", f"{base:g}, as rope_parameters says", config.get("rope_theta")
        )
    return base


def base_of(config, name, parameters):
    """Reads the base in a part of the settings that describes rotary positions.

    Args:
        config: `CheckpointConfig`.
        name: str, where the part stands, for messages.
        parameters: dict, the part.

    Returns:
        float, or None if there is no base in it.

    Raises:
        ValueError: for angles that are scaled, and for what is not known.
    """
    if not isinstance(parameters, dict):
        raise config.error(
            name, 'such as {"rope_type": "default", "rope_theta": 10000}', parameters
        )
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind != "default":
        raise config.error(f"{name}.rope_type", '"default" (angles that are not scaled)', kind)
    share = parameters.get("partial_rotary_factor")
    if share not in (None, 1):
        raise config.error(f"{name}.partial_rotary_factor", "1 (all features rotate)", share)
    unknown = sorted(set(parameters) - _KNOWN)
    if unknown:
        raise config.error(
            name, f"without {json.dumps(unknown[0])}, which is not known", parameters
        )
    base = parameters.get("rope_theta")
    return None if base is None else config.checked_number(f"{name}.rope_theta", base, least=1)


def refuse_scaling(config):
    """Raises a ValueError for angles that are scaled, or that turn some features only."""
    config.expect("partial_rotary_factor", 1, None)
    scaling = config.get("rope_scaling", None)
    if scaling is not None and base_of(config, "rope_scaling", scaling) is not None:
        raise config.error("rope_scaling", "without rope_theta, which stands beside it", scaling)
