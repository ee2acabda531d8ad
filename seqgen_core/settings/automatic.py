"""The word "auto" in place of a number that training then finds out by itself."""

from typing import Annotated, Any

from pydantic import Field, PlainSerializer, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

AUTO = 0
"""What "auto" is to a program; it is written as the word, and no number that a person may give."""


def _number_or_auto(value: Any, number: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return AUTO
    try:
        return number(value)
    except ValidationError as problem:
        if problem.errors()[0]["type"].endswith("_parsing"):
            why = problem.errors()[0]["msg"]
            raise PydanticCustomError("number_or_auto", "{why}, or auto", {"why": why}) from None
        raise


def _word_or_number(value: Any) -> Any:
    return "auto" if value == AUTO else value


AutomaticCount = Annotated[int, Field(ge=1), WrapValidator(_number_or_auto), PlainSerializer(_word_or_number)]
"""A count from 1, or AUTO."""
AutomaticRate = Annotated[float, Field(gt=0, le=1), WrapValidator(_number_or_auto), PlainSerializer(_word_or_number)]
"""A number above 0 and up to 1, or AUTO."""
