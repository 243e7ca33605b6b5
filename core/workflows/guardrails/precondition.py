"""Precondition: what a system says now is as it must be, for example “CI on main is green”."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, JsonValue

from core.expressions import ExpressionError, compile_expression
from core.records import ActionName
from core.workflows.definition import Arguments
from core.workflows.guardrails.base import (
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Situation,
    World,
    Written,
)
from core.workflows.guardrails.readings import (
    Formula,
    Reading,
    formula_problems,
    parameters_of,
)

_LONGEST_SUMMARY = 300


class Precondition(Guardrail):
    """A `read` action's result makes `expect` true.

    Attributes:
        expect: an expression over the result's `values`, `summary` and `output`, and the
            workflow's `parameters`.
        message: what must be so, in words for the card.
        known: the parameters that `expect` names; filled in when the plan is made.
    """

    overridable: ClassVar[bool] = True

    type: Literal["precondition"] = "precondition"
    action: ActionName
    arguments: Arguments = Field(default_factory=dict, alias="with")
    expect: Formula
    message: str = Field(min_length=1, max_length=200)
    known: dict[str, JsonValue] = Field(default_factory=dict)

    def describe(self) -> str:
        return self.message

    async def look(self, world: World, situation: Situation) -> JsonValue:  # noqa: ARG002
        return await self._reading.look(world)

    def evaluate(self, situation: Situation) -> GuardrailResult:
        if not isinstance(situation.seen, Mapping):
            return self._not_looked()
        read = situation.seen.get("read")
        if not isinstance(read, Mapping):
            why = f"{self.action} could not be read: {situation.seen.get('problem')}"
            return self._result(GuardrailState.WAITING, why)
        says = f"{self.action} says: {str(read['summary'])[:_LONGEST_SUMMARY]}"
        try:
            met = compile_expression(self.expect, None).holds({**read, "parameters": self.known})
        except ExpressionError as error:
            return self._result(GuardrailState.BLOCKED, f"{error} {says}")
        if met:
            return self._result(GuardrailState.MET, says)
        return self._result(GuardrailState.BLOCKED, f"It is not so ({self.expect}). {says}")

    def rendered(self, scope: Mapping[str, JsonValue]) -> Self:
        return self.model_copy(
            update={
                "arguments": self._reading.rendered(scope).arguments,
                "known": parameters_of(self.expect, scope),
            }
        )

    def problems(self, written: Written) -> Iterator[str]:
        yield from super().problems(written)
        yield from self._reading.problems(written)
        for problem in formula_problems(self.expect, written, "boolean"):
            yield f"expect: {problem}"

    @property
    def _reading(self) -> Reading:
        return Reading.model_validate({"action": self.action, "with": self.arguments})
