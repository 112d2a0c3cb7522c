"""Reading the forms of the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from storage.errors import BadInputError

M = TypeVar("M", bound=BaseModel)


def texts(form: Mapping[str, object]) -> dict[str, str]:
    """Return the text fields of a form, stripped; the last value of a field counts."""
    return {name: value.strip() for name, value in form.items() if isinstance(value, str)}


def checked(model: type[M], given: Mapping[str, Any]) -> M:
    """Check values as the API does. Raises BadInputError, which names the first wrong field."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInputError(f"{first['loc'][0]}: {first['msg']}") from error
