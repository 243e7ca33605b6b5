"""What does not fit in steps: expressions by what is in scope where they stand, and arguments."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from dataclasses import replace

from pydantic import JsonValue

from core.consistency.arguments import argument_problems, written_risk
from core.consistency.places import Problem, Spot
from core.errors import CountersignError
from core.records import Risk
from core.workflows.actions import ActionRegistry
from core.workflows.definition import Call, StepDefinition, StepKind
from core.workflows.template import (
    ExpressionError,
    Types,
    check_condition,
    check_text,
    compile_expression,
    sole_expression,
    templates,
)

Found = Generator[Problem, None, frozenset[str]]
"""Problems; in the end the ids of the steps whose outcome can be referred to from then on."""


class StepCheck:
    """Goes through steps in the order in which they run.

    Attributes:
        risks: of what was checked so far, as far as it is known before a plan is made.
    """

    def __init__(self, registry: ActionRegistry, roles: Collection[str]) -> None:
        self._registry = registry
        self._roles = roles
        self._risks: set[Risk] = set()

    @property
    def risks(self) -> frozenset[Risk]:
        """See the class."""
        return frozenset(self._risks)

    def sequence(self, spot: Spot, steps: tuple[StepDefinition, ...], types: Types) -> Found:
        """Steps one after the other: each may refer to those before it."""
        done = types.steps
        for position, step in enumerate(steps):
            here = spot.at(position, label=step.id)
            done |= yield from self._step(here, step, replace(types, steps=done))
        return done

    def _step(self, spot: Spot, step: StepDefinition, types: Types) -> Found:
        if step.when is not None:
            yield from (spot.at("when").says(p) for p in check_condition(step.when, types))
        match step.kind:
            case StepKind.SEQUENCE:
                return (yield from self.sequence(spot.at("steps", label=""), step.steps, types))
            case StepKind.PARALLEL:
                return (yield from self._parallel(spot, step, types))
            case StepKind.FOR_EACH:
                return (yield from self._for_each(spot, step, types))
            case StepKind.MANUAL:
                yield from self._manual(spot, step, types)
            case StepKind.ACTION if step.call is not None:
                yield from self._call(spot, step.call, types)
                if step.undo is not None:
                    own = replace(types, steps=types.steps | {step.id})
                    yield from self._call(spot.at("undo"), step.undo, own)
        return types.steps | {step.id}

    def _parallel(self, spot: Spot, step: StepDefinition, types: Types) -> Found:
        """Branches know what was done before all of them, not what the others do."""
        done = types.steps
        for position, branch in enumerate(step.parallel):
            here = spot.at("parallel", position, label=branch.id)
            done |= yield from self._step(here, branch, types)
        return done

    def _for_each(self, spot: Spot, step: StepDefinition, types: Types) -> Found:
        known = replace(types, steps=frozenset[str]())
        field = spot.at("for_each")
        if isinstance(step.for_each, tuple):
            listed: JsonValue = [*step.for_each]
            for place, text in templates(listed):
                yield from (field.at(*place).says(p) for p in check_text(text, known))
        else:
            yield from _list(field, step.for_each or "", known)
        inside = replace(types, each=True)
        return (yield from self.sequence(spot.at("steps", label=""), step.steps, inside))

    def _manual(self, spot: Spot, step: StepDefinition, types: Types) -> Iterator[Problem]:
        yield from (spot.at("manual").says(p) for p in check_text(step.manual or "", types))
        for name, text in step.show.items():
            yield from (spot.at("show", name).says(p) for p in check_text(text, types))
        for position, role in enumerate(step.roles):
            yield from spot.at("roles", position, label="roles").knows(role, self._roles)

    def _call(self, spot: Spot, call: Call, types: Types) -> Iterator[Problem]:
        wrong = False
        for place, text in templates(dict(call.arguments)):
            for problem in check_text(text, types):
                wrong = True
                yield spot.at("with", *place).says(problem)
        try:
            action = self._registry.get(call.action)
        except CountersignError as error:
            if (risk := self._registry.expected(call.action)) is None:
                yield spot.at("action").says(str(error))
            else:  # what it takes is known when its server has been asked
                self._risks.add(risk)
            return
        self._risks.add(written_risk(action, call) or action.risk)
        if not wrong:
            yield from argument_problems(spot.at("with"), action, call, types)


def _list(spot: Spot, text: str, types: Types) -> Iterator[Problem]:
    """What a for-each goes through must be a list when the plan is made, which people sign."""
    try:
        source = sole_expression(text)
        if source is None:
            yield spot.says("write a list, or ${parameters.NAME} with a parameter of type list.")
            return
        if "steps" in compile_expression(source, None).roots:
            yield spot.says(
                f"{source}: it is known only when steps have run, but people sign for each item: "
                "refer to parameters only."
            )
            return
        found = compile_expression(source, types).type
    except ExpressionError as error:
        yield spot.says(str(error))
        return
    if found not in {"list", "any"}:
        yield spot.says(f"{source}: must be a list, but is of type {found}.")
