"""Blast radius: a plan touches no more than so many targets, or no more than such a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from core.errors import InvalidRequestError
from core.expressions import ExpressionError, compile_expression
from core.workflows.guardrails.base import (
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Situation,
    World,
    Written,
    type_problems,
)
from core.workflows.guardrails.readings import (
    Formula,
    Reading,
    formula_problems,
    parameters_of,
)
from core.workflows.template import render

_MOST_NAMED = 5


class Counted(Reading):
    """How many there are in all, as a `read` action says.

    Attributes:
        count: an expression over the result, such as `size(values.items)`.
        known: the parameters that `count` names; filled in when the plan is made.
    """

    count: Formula
    known: dict[str, JsonValue] = Field(default_factory=dict)

    def rendered(self, scope: Mapping[str, JsonValue]) -> Self:
        """See `Reading.rendered`."""
        known = parameters_of(self.count, scope)
        return super().rendered(scope).model_copy(update={"known": known})


class BlastRadius(Guardrail):
    """The plan has at most `limit` targets, and at most `percent` of all there are.

    Attributes:
        of: how many there are in all: a number, a list, one of these as `${parameters.…}`, or a
            count that a `read` action gives.
    """

    overridable: ClassVar[bool] = True

    type: Literal["blast_radius"] = "blast_radius"
    limit: int | None = Field(default=None, ge=1)
    percent: float | None = Field(default=None, gt=0, le=100)
    of: int | tuple[str, ...] | Counted | str | None = None

    @model_validator(mode="after")
    def _complete(self) -> BlastRadius:
        if (self.percent is None) != (self.of is None):
            raise ValueError("'percent' and 'of' belong together: percent: 10, of: 40")
        if self.limit is None and self.percent is None:
            raise ValueError("give a 'limit', or 'percent' and 'of'")
        return self

    def describe(self) -> str:
        words = []
        if self.limit is not None:
            words.append("1 target" if self.limit == 1 else f"{self.limit} targets")
        if self.percent is not None:
            words.append(f"{self.percent:g} % of {self._whole}")
        return "At most " + " and ".join(words)

    async def look(self, world: World, situation: Situation) -> JsonValue:  # noqa: ARG002
        return await self.of.look(world) if isinstance(self.of, Counted) else None

    def evaluate(self, situation: Situation) -> GuardrailResult:
        targets = list(dict.fromkeys(situation.targets))
        touched = _named(targets)
        if self.limit is not None and len(targets) > self.limit:
            return self._result(GuardrailState.BLOCKED, f"{touched}.")
        if self.percent is None:
            return self._result(GuardrailState.MET, f"{touched}.")
        if isinstance(self.of, Counted) and not isinstance(situation.seen, Mapping):
            return self._not_looked()
        if isinstance(situation.seen, Mapping) and "problem" in situation.seen:
            why = f"How many there are could not be read: {situation.seen['problem']}"
            return self._result(GuardrailState.WAITING, why)
        try:
            total = self._total(situation.seen)
        except InvalidRequestError as error:
            return self._result(GuardrailState.BLOCKED, str(error))
        if total <= 0:
            return self._result(GuardrailState.BLOCKED, f"{touched}; there are {total} in all.")
        part = 100 * len(targets) / total
        state = GuardrailState.MET if part <= self.percent else GuardrailState.BLOCKED
        return self._result(state, f"{touched}: {part:.3g} % of {total}.")

    def rendered(self, scope: Mapping[str, JsonValue]) -> Self:
        if isinstance(self.of, Counted):
            return self.model_copy(update={"of": self.of.rendered(scope)})
        if not isinstance(self.of, str):
            return self
        of = render(self.of, scope, frozenset())
        if isinstance(of, list | tuple):
            return self.model_copy(update={"of": tuple(str(item) for item in of)})
        if isinstance(of, bool) or not isinstance(of, int):
            raise InvalidRequestError(
                f"{self.of} in the blast radius must be a whole number or a list."
            )
        return self.model_copy(update={"of": of})

    def problems(self, written: Written) -> Iterator[str]:
        yield from super().problems(written)
        if not written.targets:
            yield "type: give the workflow 'targets', which are what is counted."
        if isinstance(self.of, str):
            for problem in type_problems(self.of, written, ("integer", "list")):
                yield f"of: {problem}"
        if isinstance(self.of, Counted):
            yield from (f"of.{problem}" for problem in self.of.problems(written))
            for problem in formula_problems(self.of.count, written, "integer"):
                yield f"of.count: {problem}"

    @property
    def _whole(self) -> str:
        if isinstance(self.of, Counted):
            return f"what {self.of.action} counts"
        return f"the {len(self.of)} in the list" if isinstance(self.of, tuple) else f"{self.of}"

    def _total(self, seen: JsonValue) -> int:
        if isinstance(self.of, tuple):
            return len(set(self.of))
        if isinstance(self.of, int):
            return self.of
        if isinstance(self.of, Counted) and isinstance(seen, Mapping):
            read = seen["read"]
            scope = {**(read if isinstance(read, Mapping) else {}), "parameters": self.of.known}
            total = compile_expression(self.of.count, None).evaluate(scope)
            if isinstance(total, bool) or not isinstance(total, int):
                raise ExpressionError(f"{self.of.count}: must be a whole number, but is {total}.")
            return total
        raise InvalidRequestError(f"How many {self.of} are is not known yet.")


def _named(targets: list[str]) -> str:
    if not targets:
        return "No target is named"
    more = "" if len(targets) <= _MOST_NAMED else ", …"
    count = "1 target" if len(targets) == 1 else f"{len(targets)} targets"
    return f"{count} ({', '.join(targets[:_MOST_NAMED])}{more})"
