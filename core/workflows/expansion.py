"""From the steps of a workflow file to a flat list and the order in which they run.

A for-each is expanded when the plan is made, so that what is signed is what runs; a condition
that is known by then and false leaves its step out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from core.errors import InvalidRequestError
from core.workflows.conditions import holds, roots
from core.workflows.definition import Call, StepDefinition, StepKind
from core.workflows.plan import Node, One, Parallel, Rollout, Sequence
from core.workflows.template import references, render

_MOST_STEPS = 500
_LONGEST_ITEM = 200


@dataclass(frozen=True)
class Surroundings:
    """What the groups around a step say about it.

    Attributes:
        each: item of the innermost for-each, and `source`, the list as the file has it, with
            the list around it where its items are made of those.
        suffix: of the ids of the steps inside for-eaches, such as `[web-1]`.
        when: conditions that are known only at run time, joined.
    """

    scope: Mapping[str, JsonValue]
    each: str | None = None
    source: JsonValue = None
    suffix: str = ""
    when: str | None = None

    def under(self, condition: str | None) -> Surroundings | None:
        """The same with a condition added; None where it is known to be false."""
        if condition is None:
            return self
        if "steps" not in roots(condition):
            return self if holds(condition, self.scope) else None
        joined = condition if self.when is None else f"({self.when}) && ({condition})"
        return replace(self, when=joined)

    def at(self, item: str, source: JsonValue) -> Surroundings:
        """The same for one item of a for-each."""
        scope = {**self.scope, "each": item}
        suffix = f"{self.suffix}[{item}]"
        return replace(self, scope=scope, each=item, source=source, suffix=suffix)


@dataclass(frozen=True)
class Draft:
    """A step on its way into the plan.

    Attributes:
        base: its id in the file; several steps have the same where it is inside a for-each.
        call: what it calls, where it is an action or undoes one.
        undoes: position of the step that it takes back.
    """

    id: str
    base: str
    step: StepDefinition
    call: Call | None
    around: Surroundings
    undoes: int | None = None


class Expansion:
    """Collects the steps of one plan, in the order of their positions."""

    def __init__(self, scope: Mapping[str, JsonValue]) -> None:
        self._outside = Surroundings(scope)
        self.drafts: list[Draft] = []

    def add(self, steps: Iterable[StepDefinition]) -> Node:
        """Add steps one after the other; in which order they run.

        Raises:
            InvalidRequestError: a condition or a list is wrong, or there are too many steps.
        """
        return self._sequence(steps, self._outside)

    def add_undo(self) -> None:
        """Add, for each action so far that says how it is undone, what undoes it."""
        for position, draft in enumerate(tuple(self.drafts)):
            if draft.step.undo is not None:
                self._append(
                    Draft(
                        id=f"{draft.id}.undo",
                        base=f"{draft.base}.undo",
                        step=draft.step,
                        call=draft.step.undo,
                        around=replace(draft.around, when=None),
                        undoes=position,
                    )
                )

    def _sequence(self, steps: Iterable[StepDefinition], around: Surroundings) -> Node:
        nodes = [self._node(step, around) for step in steps]
        return Sequence(nodes=tuple(node for node in nodes if node is not None))

    def _node(self, step: StepDefinition, around: Surroundings) -> Node | None:
        inside = around.under(step.when)
        if inside is None:
            return None
        match step.kind:
            case StepKind.SEQUENCE:
                return self._sequence(step.steps, inside)
            case StepKind.PARALLEL:
                nodes = [self._node(branch, inside) for branch in step.parallel]
                return Parallel(nodes=tuple(node for node in nodes if node is not None))
            case StepKind.FOR_EACH:
                return self._rollout(step, inside)
        draft = Draft(f"{step.id}{inside.suffix}", step.id, step, step.call, inside)
        return One(step=self._append(draft))

    def _rollout(self, step: StepDefinition, around: Surroundings) -> Node:
        listed = step.for_each
        source: JsonValue = [*listed] if isinstance(listed, tuple) else listed
        items = self._items(step, source, around.scope)
        if "each" in references(source):  # whoever wrote the outer item has written these, too
            source = [source, around.source]
        return Rollout(
            nodes=tuple(self._sequence(step.steps, around.at(item, source)) for item in items),
            batch=step.batch,
            pause_s=step.pause.total_seconds(),
        )

    def _items(
        self, step: StepDefinition, source: JsonValue, scope: Mapping[str, JsonValue]
    ) -> list[str]:
        if any(path.split(".")[0] == "steps" for path in references(source)):
            raise InvalidRequestError(
                f"'{step.name}' goes through a list that is known only at run time; a for_each "
                "refers to parameters only."
            )
        found = render(source, scope, frozenset())
        if not isinstance(found, list):
            raise InvalidRequestError(
                f"'{step.name}' goes through {found!r}, which is no list: write for_each: "
                "${parameters.NAME} with a parameter of the type list."
            )
        items = [str(item) for item in found]
        for item in items:
            if items.count(item) > 1:
                raise InvalidRequestError(f"'{step.name}' would go through '{item}' twice.")
            if "[" in item or "]" in item:  # the ids of steps would not tell such items apart
                raise InvalidRequestError(
                    f"'{step.name}' goes through '{item}': an item must not hold '[' or ']'."
                )
            if len(item) > _LONGEST_ITEM:
                raise InvalidRequestError(
                    f"'{step.name}' goes through an item of more than {_LONGEST_ITEM} characters."
                )
        return items

    def _append(self, draft: Draft) -> int:
        if len(self.drafts) >= _MOST_STEPS:
            raise InvalidRequestError(
                f"The plan would have more than {_MOST_STEPS} steps; start it for fewer targets."
            )
        self.drafts.append(draft)
        return len(self.drafts) - 1
