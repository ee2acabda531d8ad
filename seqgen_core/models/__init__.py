"""Models: p(next token | tokens before). One paper per file; the file's name is the `kind` in its settings."""

from importlib import import_module

from seqgen_core.models.base import CausalModel, LayerRow
from seqgen_core.settings.base import Settings
from seqgen_core.settings.tokens import TokenSpec

__all__ = ["CausalModel", "LayerRow", "build"]


def build(settings: Settings, tokens: TokenSpec) -> CausalModel:
    """The model that the settings describe, for such tokens, with fresh weights from torch's random state.

    Only the module named by settings.kind is imported; it names its model class MODEL.
    """
    kind: str = getattr(settings, "kind")  # noqa: B009  (every class of the union has it; the base class has not)
    return import_module(f"seqgen_core.models.{kind}").MODEL(settings, tokens)
