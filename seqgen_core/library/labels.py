"""Classes of a run as people name them."""

from pathlib import Path

from seqgen_core.errors import UsageError
from seqgen_core.settings.problems import nearest
from seqgen_core.settings.run import RunSettings


def class_number(label: str | None, path: Path, settings: RunSettings, *, needed: bool) -> int | None:
    """The number of a class given by name or number; None for a model without labels, or where none is given or needed.

    path: of the run, for messages. Raises UsageError for a class that is not there, and where a label is needed and
    none given.
    """
    classes = getattr(settings.model, "classes", 0)
    names = settings.data.label_names
    if not classes:
        if label is not None:
            raise UsageError(
                f"{path} was trained without labels, so --label {label} means nothing to it.", hint="Leave it out."
            )
        return None
    known = ", ".join(names) or f"0 to {classes - 1}"
    if label is None and needed:
        raise UsageError(f"{path} was trained with labels.", hint=f"Choose one by --label: {known}.")
    if label is None:
        return None
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < classes and not (names and all(name.isdecimal() for name in names)):
        return int(label)
    raise UsageError(f"There is no label {label!r} in {path}{nearest(label, names)}.", hint=f"Choose one of: {known}.")
