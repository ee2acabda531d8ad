"""The parent of every settings class: frozen, strict about names, documented by the sentence under each field."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen values of one stage or model. The sentence under a field is its help text everywhere."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,  # checkpoint = 500 and label = 3 are texts that TOML reads as numbers
    )
