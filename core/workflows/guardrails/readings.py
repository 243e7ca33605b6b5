"""Readings: what a `read` action says now, for guardrails that compare it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from pydantic import Field, JsonValue

from core.errors import CountersignError, InvalidRequestError
from core.records import Frozen, Risk
from core.workflows.guardrails.base import World, Written
from core.workflows.template import references, render


class Reading(Frozen):
    """A `read` action with its arguments, which may hold `${parameters.…}`."""

    action: str = Field(pattern=r"^[a-z_]+\.[a-z_]+$")
    arguments: dict[str, JsonValue] = Field(default_factory=dict, alias="with")

    async def look(self, world: World) -> dict[str, JsonValue]:
        """`{"read": {values, summary, output}}`, or `{"problem": why it could not be read}`."""
        try:
            return {"read": await world.read(self.action, self.arguments)}
        except CountersignError as error:
            return {"problem": str(error)}

    def rendered(self, scope: Mapping[str, JsonValue]) -> Self:
        """The same with its arguments filled in."""
        arguments = render(self.arguments, scope, frozenset())
        return self.model_copy(update={"arguments": arguments})

    def problems(self, written: Written) -> Iterator[str]:
        """Where the action is none, or could do more than read."""
        try:
            action = written.actions.get(self.action)
        except CountersignError as error:
            yield f"action: {error}"
            return
        if action.risk is not Risk.READ:
            yield f"action: {self.action} is not a read action; a guardrail may only look."
        fields = {field.alias or name for name, field in action.arguments.model_fields.items()}
        for name in sorted(set(self.arguments) - fields):
            yield f"with.{name}: {self.action} takes {', '.join(sorted(fields))}."
        if next(references(self.arguments), None) is None:
            try:
                action.read(dict(self.arguments))
            except InvalidRequestError as error:
                yield f"with: {error}"
