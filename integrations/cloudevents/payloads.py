"""What senders of CloudEvents 1.0 post, in the three modes of the HTTP binding.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md

PyPI's `cloudevents` makes the messages in our tests. It is not used here: it makes up an id and a
time where there is none (then a second try is another event), reads no batches, and raises
AttributeError on a body that is a list. It would take 22 ms to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from integrations.webhooks import MalformedDeliveryError, Payload, read_json

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
_MOST = 500
_PREFIX = "ce-"

Attribute = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class CloudEvent(Payload):
    """One event; extension attributes are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    specversion: Literal["1.0"]
    id: Attribute
    source: Attribute
    type: Attribute
    subject: Attribute | None = None
    time: AwareDatetime | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: JsonValue = None


_BATCH = TypeAdapter(Annotated[list[CloudEvent], Field(max_length=_MOST)])


def read_events(headers: Mapping[str, str], body: bytes) -> list[CloudEvent]:
    """The events of one request: several where it is a batch.

    Raises:
        MalformedDeliveryError: it is none of the three modes.
    """
    value = read_json(body)
    if is_binary(headers):
        value = [{**_from_headers(headers), "data": value}]
    elif _content_type(headers) == STRUCTURED:
        value = [value]
    try:
        return _BATCH.validate_python(value)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'][1:]) or 'the body'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)[:5]
        )
        raise MalformedDeliveryError(f"not a CloudEvent: {problems}") from error


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the attributes stand in headers, and the body is the data alone."""
    return _content_type(headers) not in {STRUCTURED, BATCHED}


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _from_headers(headers: Mapping[str, str]) -> dict[str, JsonValue]:
    """Binary mode: the attributes stand in headers, percent-encoded."""
    found: dict[str, JsonValue] = {}
    for name, value in headers.items():
        if not name.startswith(_PREFIX) or name == "ce-data":
            continue
        try:
            text = unquote(value, errors="strict")
            text.encode()
        except UnicodeError as error:
            raise MalformedDeliveryError(f"the header {name} is not UTF-8") from error
        found[name.removeprefix(_PREFIX)] = text
    return found
