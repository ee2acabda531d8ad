"""Settings of a call: those given whole, and fields of them that are given by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from seqgen_core.errors import UsageError
from seqgen_core.settings.base import Settings
from seqgen_core.settings.project import check

S = TypeVar("S", bound=Settings)


def changed(wanted: type[S], settings: S | None, changes: Mapping[str, Any]) -> S:
    """The settings, or the defaults, with some fields changed; a path may stand where a text is wanted.

    Raises UsageError with every problem, unknown names with the nearest known one.
    """
    given = {} if settings is None else {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in changes.items()}
    try:
        return check(wanted, {**given, **plain}, "the call")
    except UsageError as error:
        raise UsageError(error.got, hint=f"The fields of {wanted.__name__} say what there is.") from None
