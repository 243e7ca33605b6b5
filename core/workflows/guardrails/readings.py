"""Readings: what a `read` action says now, for guardrails that compare or count it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, JsonValue

from core.errors import CountersignError, InvalidRequestError
from core.expressions import ExpressionError, Types, compile_expression
from core.records import ActionName, Frozen
from core.workflows.definition import Arguments
from core.workflows.guardrails.base import World, Written
from core.workflows.template import references, render


def _compiles(source: str) -> str:
    try:
        compile_expression(source, None)
    except ExpressionError as error:
        raise ValueError(str(error)) from error
    return source


Formula = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_compiles)]
"""An expression over a reading: its `values`, `summary` and `output`, and `parameters.NAME`."""


class Reading(Frozen):
    """A `read` action with its arguments, which may hold `${parameters.…}`."""

    action: ActionName
    arguments: Arguments = Field(default_factory=dict, alias="with")

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
        """Where the action is none, could do more than read, or repeats what a model says."""
        try:
            action = written.actions.get(self.action)
        except CountersignError as error:
            yield f"action: {error}"
            return
        if action.output_kind == "model":
            yield (
                f"action: a model writes what {self.action} says; a guardrail compares what a "
                "system says."
            )
        fields = {field.alias or name for name, field in action.arguments.model_fields.items()}
        for name in sorted(set(self.arguments) - fields):
            yield f"with.{name}: {self.action} takes {', '.join(sorted(fields))}."
        if next(references(self.arguments), None) is not None:
            return  # its risk is looked at when it is asked
        try:
            only_looks = action.only_looks(action.read(dict(self.arguments)))
        except InvalidRequestError as error:
            yield f"with: {error}"
            return
        if not only_looks:
            yield f"action: {self.action} does more than read here; a guardrail may only look."


def formula_problems(source: str, written: Written, type_: str) -> Iterator[str]:
    """Where a formula names what is not there, or is known to give another type."""
    others = {"values": "any", "summary": "string", "output": "string"}
    try:
        found = compile_expression(source, Types(parameters=written.parameters, others=others)).type
    except ExpressionError as error:
        yield str(error)
        return
    if found not in {type_, "any"}:
        yield f"{source}: must be of type {type_}, but is {found}."


def parameters_of(source: str, scope: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The workflow's parameters that a formula names, with their values."""
    parameters = scope["parameters"]
    paths = [path.split(".") for path in compile_expression(source, None).references]
    named = {path[1] for path in paths if path[0] == "parameters" and len(path) > 1}
    if not isinstance(parameters, Mapping):
        return {}
    return {name: parameters[name] for name in sorted(named) if name in parameters}
