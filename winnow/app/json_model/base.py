"""The base of JSON values that are read from records, and the types of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from storage.reasons import Reason


def encodable(value: Any) -> Any:
    """Replace halves of surrogate pairs, which no JSON text can hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {name: encodable(item) for name, item in value.items()}
    return [encodable(item) for item in value] if isinstance(value, list | tuple) else value


def _reason(text: str) -> dict[str, Any]:
    return encodable(Reason.of(text).to_json()) if text else {"code": "", "values": {}}


Text = Annotated[str, BeforeValidator(encodable)]
Texts = Annotated[list[str], BeforeValidator(encodable)]
Object = Annotated[dict[str, Any], BeforeValidator(encodable)]
Moment = Annotated[str, BeforeValidator(datetime.isoformat), Field(json_schema_extra={"format": "date-time"})]
Ms = Annotated[float, AfterValidator(lambda ms: round(ms, 3))]
ReasonCode = Annotated[str, BeforeValidator(lambda text: _reason(text)["code"])]
ReasonValues = Annotated[dict[str, Any], BeforeValidator(lambda text: _reason(text)["values"])]


def inside(part: str) -> AliasGenerator:
    """Read a field from this part of a record, or from the record itself if it has no such part."""
    return AliasGenerator(validation_alias=lambda name: AliasChoices(AliasPath(part, name), name))


def renamed(*places: str | AliasPath) -> Any:
    """An old name of the field that is read from there."""
    return Field(validation_alias=AliasChoices(*places), json_schema_extra={"deprecated": True})


class Wire(BaseModel):
    """A JSON value that is read from a record."""

    # the schema is that of what is written, wherever one is asked for: only that is ever read by others
    model_config = ConfigDict(from_attributes=True, json_schema_mode_override="serialization")

    @classmethod
    def of(cls, record: object, **context: Any) -> Self:
        """The record's JSON value."""
        return cls.model_validate(record, context=context)

    def to_json(self) -> dict[str, Any]:
        """The value as plain dicts, lists and scalars."""
        return self.model_dump(mode="json")


class ReasonJson(Wire):
    """A reason as data. The code `text` has only a sentence."""

    code: str
    values: dict[str, Any]


ReasonData = Annotated[ReasonJson, BeforeValidator(_reason)]
