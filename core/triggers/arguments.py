"""What an event gives: arguments for a workflow, and what people are told of it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from core.automation import event_scope
from core.errors import InvalidRequestError
from core.records import Event, Provenance, Scalar, Value
from core.workflows.plan import PlannedArgument
from core.workflows.template import references, render

_FACTS = 10
_ELSEWHERE = frozenset(
    {"summary", "description", "url", "group_key", "fingerprint", "fingerprints", "receiver"}
)


def map_arguments(definition: Mapping[str, JsonValue], event: Event) -> dict[str, PlannedArgument]:
    """Arguments from an event. What refers to the event is untrusted; the rest is the trigger's.

    Expressions over attributes that the event lacks, or whose value is neither plain nor a list
    of texts, leave the argument out, for a person to fill in.
    """
    arguments = {}
    for name, value in definition.items():
        paths = list(references(value))
        try:
            rendered = _value(render(value, event_scope(event), frozenset()))
        except InvalidRequestError:
            continue
        if rendered is not None:
            provenance = (
                Provenance(kind="webhook", detail=f"{event.source}: {', '.join(paths)}"[:300])
                if paths
                else Provenance(kind="definition", detail="the trigger")
            )
            arguments[name] = PlannedArgument(value=rendered, provenance=provenance)
    return arguments


def shown(value: Value) -> str:
    """A value as people read it."""
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _value(value: JsonValue) -> Value | None:
    if isinstance(value, list):
        texts = tuple(item for item in value if isinstance(item, str))
        return texts if len(texts) == len(value) else None
    return value if isinstance(value, Scalar) else None


def facts(event: Event) -> dict[str, str]:
    """The attributes that people want to see first: short, plain, not shown elsewhere."""
    shown = {
        name.replace("_", " "): str(value)
        for name, value in event.attributes.items()
        if isinstance(value, str | int | float)
        and 0 < len(str(value)) <= 120
        and not name.startswith("label_")
        and name not in _ELSEWHERE
    }
    return dict(list(shown.items())[:_FACTS])


def text_of(event: Event, name: str) -> str:
    """An attribute that is text, cut to 2,000 characters."""
    value = event.attributes.get(name)
    return value[:2000] if isinstance(value, str) else ""


def link_of(event: Event) -> str | None:
    """Where the event can be looked at."""
    value = event.attributes.get("url")
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else None


def origin_of(event: Event) -> str:
    """Where a run comes from that an event leads to."""
    return f"{event.source}: {event.title}"[:300]
