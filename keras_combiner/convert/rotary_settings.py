"""The rotary positions of a Hugging Face checkpoint, in the words of Transformers 4 and 5."""

import json
import typing

# By the kind of scaling, what describes it.
_KNOWN = {
    "default": {"rope_type", "type", "rope_theta", "partial_rotary_factor"},
    "linear": {"rope_type", "type", "rope_theta", "partial_rotary_factor", "factor"},
}
_OF_GTE = {**_KNOWN, "ntk": _KNOWN["linear"]}


class Rotation(typing.NamedTuple):
    """How queries and keys are rotated, see `keras_combiner.layers.rotary.rotate`.

    Attributes:
        base: float.
        scaling_factor: float.
    """

    base: float
    scaling_factor: float = 1.0


def read_rotation(config, base, head_dim, is_gte=False):
    """Reads the rotation of a model whose layers all have the same.

    Transformers 5 writes `rope_parameters`, Transformers 4 `rope_theta` and `rope_scaling`.

    Args:
        config: `CheckpointConfig`.
        base: float, the family's base, where none is said; `REQUIRED` if it has to be said.
        head_dim: int, features of a head.
        is_gte: bool, whether `rope_scaling` may be "ntk".

    Returns:
        `Rotation`.

    Raises:
        ValueError: for angles that are scaled otherwise, where two settings disagree, and if the
            base is missing.
    """
    config.expect("partial_rotary_factor", 1, None)
    scaling, parameters = config.get("rope_scaling", None), config.get("rope_parameters", None)
    if None not in (scaling, parameters):
        raise config.error("rope_scaling", "null, since there are rope_parameters", scaling)
    name = "rope_scaling" if parameters is None else "rope_parameters"
    parameters = scaling if parameters is None else parameters
    has_own_base = isinstance(parameters, dict) and parameters.get("rope_theta") is not None
    is_said = config.has("rope_theta")
    if is_said or not has_own_base:
        base = config.number("rope_theta", base, least=1)
    known = _OF_GTE if is_gte and name == "rope_scaling" else _KNOWN
    return rotation_of(config, name, parameters, base, head_dim, is_said, known)


def rotation_of(config, name, parameters, base, head_dim, base_is_said, known=_KNOWN):
    """Reads the rotation that a part of the settings describes.

    Args:
        config: `CheckpointConfig`.
        name: str, where the part stands, for messages.
        parameters: dict, the part; or None, if it says nothing.
        base: float, the base that is said elsewhere, or the family's.
        head_dim: int, features of a head.
        base_is_said: bool, whether the base is said elsewhere, so that another one is refused.
        known: dict, from kinds of scaling to the names of what describes them.

    Returns:
        `Rotation`.

    Raises:
        ValueError: for angles that are scaled otherwise, for another base than is said elsewhere,
            and for what is not known.

    Reference:
        "linear" divides positions. "ntk" is what GTE was published with: the base is multiplied and
        positions are divided, so that the slowest pair of features turns as far as with "linear"
        and the others hardly less than before (https://kexue.fm/archives/9706, equation 6).
    """
    if parameters is None:
        return Rotation(base)
    if not isinstance(parameters, dict):
        example = 'such as {"rope_type": "default", "rope_theta": 10000}'
        raise config.error(name, example, parameters)
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind not in known:
        kinds = ", ".join(json.dumps(x) for x in known)
        raise config.error(f"{name}.rope_type", f"one of {kinds}", kind)
    if parameters.get("partial_rotary_factor") not in (None, 1):
        value = parameters["partial_rotary_factor"]
        raise config.error(f"{name}.partial_rotary_factor", "1 (all features rotate)", value)
    unknown = sorted(set(parameters) - known[kind])
    if unknown:
        what = f"without {json.dumps(unknown[0])}, which is not known"
        raise config.error(name, what, parameters)
    if parameters.get("rope_theta") is not None:
        found = config.checked_number(f"{name}.rope_theta", parameters["rope_theta"], least=1)
        if base_is_said and found != base:
            raise config.error(
                f"{name}.rope_theta", f"{base:g}, which is also said elsewhere", found
            )
        base = found
    if kind == "default":
        return Rotation(base)
    factor = config.checked_number(f"{name}.factor", parameters.get("factor"), least=1)
    if kind == "linear":
        return Rotation(base, factor)
    return Rotation(base * factor, factor ** (2 / head_dim))
