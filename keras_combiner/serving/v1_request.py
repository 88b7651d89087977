"""A request of V1, and the version that its address names."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class V1Request:
    """A request to a path of V1.

    Attributes:
        fields: what the body's JSON holds, a dict if all is well.
        version: str, digits, the version that the path names; None if it names none.
        label: str, the version's label that the path names; None if it names none.
    """

    fields: object
    version: str = None
    label: str = None
