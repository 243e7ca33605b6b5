"""In which order a plan's steps stand on a card, and what stands over a group of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.workflows.plan import Node, One, Parallel, Plan, PlannedStep, Rollout
from core.workflows.run import Run, StepProgress, StepState

_FEW = 4
_UNTOUCHED = frozenset({StepState.PENDING, StepState.SKIPPED})


@dataclass(frozen=True)
class Row:
    """One line: a step, or words about a group of them.

    Attributes:
        depth: 0 stands for itself; deeper ones are in a group.
        number: of a row that stands for itself, from 1.
        step: position in the plan's steps.
        words: of a group.
    """

    depth: int
    number: int | None = None
    step: int | None = None
    words: str = ""


def planned_rows(plan: Plan, node: Node) -> list[Row]:
    """What will run. Items of a rollout that differ in nothing but the item are told once."""

    def told(rollout: Rollout, depth: int) -> Iterator[Row]:
        if not rollout.nodes:
            return
        first, *others = rollout.nodes
        yield from _rows(first, depth, told)
        same = []
        for other in others:
            if (item := _same_but_for_item(plan, first, other)) is not None:
                same.append(item)
            else:
                yield from _rows(other, depth, told)
        if same:
            yield Row(depth, words=_the_same(same, _item(plan, first)))

    return _numbered(plan, node, told)


def progress_rows(run: Run, node: Node) -> list[Row]:
    """How it goes. Of a long rollout only the items that are at work, or failed, stand alone."""
    states = {step.step_id: step.state for step in run.steps}
    plan = run.plan

    def standing(node: Node) -> StepState | None:
        found = {states.get(plan.steps[at].id, StepState.PENDING) for at in positions(node)}
        return next(iter(found)) if len(found) == 1 else None

    def told(rollout: Rollout, depth: int) -> Iterator[Row]:
        quiet = _UNTOUCHED | {StepState.SUCCEEDED}
        kept: list[tuple[StepState, list[str]]] = []
        for node in rollout.nodes:
            state = standing(node)
            item = _item(plan, node)
            if len(rollout.nodes) <= _FEW or state not in quiet or state is None or item is None:
                yield from _merged(kept, depth)
                kept = []
                yield from _rows(node, depth, told)
            elif kept and kept[-1][0] is state:
                kept[-1][1].append(item)
            else:
                kept.append((state, [item]))
        yield from _merged(kept, depth)

    return _numbered(plan, node, told)


def undo_rows(plan: Plan) -> list[Row]:
    """What takes steps back, in the order of what they take back; for items that differ in
    nothing but the item once."""
    rows: list[Row] = []
    first: One | None = None
    same: list[str] = []

    def closed() -> list[Row]:
        return [Row(0, words=_the_same(same, _item(plan, first)))] if first and same else []

    for node in [One(step=step.undo) for step in plan.steps if step.undo is not None]:
        item = _same_but_for_item(plan, first, node) if first else None
        if item is not None:
            same.append(item)
            continue
        rows += [*closed(), Row(0, step=node.step)]
        first, same = node, []
    return [*rows, *closed()]


def undo_positions(run: Run) -> list[int]:
    """Positions of the undo steps that were begun, last first, as they run."""
    states = {step.step_id: step for step in run.steps}
    undo = [step.undo for step in run.plan.steps if step.undo is not None]
    return [at for at in reversed(undo) if begun(states.get(run.plan.steps[at].id))]


def begun(progress: StepProgress | None) -> bool:
    """Whether anything was done about a step."""
    return progress is not None and progress.state not in _UNTOUCHED


def positions(node: Node | None) -> Iterator[int]:
    """Positions of all steps below a node, in order."""
    if node is None:
        return
    if isinstance(node, One):
        yield node.step
        return
    for child in node.nodes:
        yield from positions(child)


def title(step: PlannedStep) -> str:
    """A step's name, with the item that it is for where the name does not say it."""
    if step.each is None or step.each in step.name:
        return step.name
    return f"{step.name} ({step.each})"


_Told = Callable[[Rollout, int], Iterator[Row]]


def _numbered(plan: Plan, node: Node, told: _Told) -> list[Row]:
    tops: Sequence[Node] = node.nodes if node.type == "sequence" else (node,)
    rows: list[Row] = []
    for number, top in enumerate(tops, start=1):
        if isinstance(top, One):
            rows.append(Row(0, number, step=top.step))
        elif isinstance(top, Parallel | Rollout):
            rows.append(Row(0, number, words=_heading(plan, top)))
            rows += _rows(top, 1, told)
        else:
            rows += _rows(top, 0, told)
    return rows


def _rows(node: Node, depth: int, told: _Told) -> Iterator[Row]:
    """The rows below a node whose heading, if it has one, is told already."""
    if isinstance(node, One):
        yield Row(depth, step=node.step)
    elif isinstance(node, Rollout):
        yield from told(node, depth)
    else:
        for child in node.nodes:
            if isinstance(child, Parallel | Rollout):
                yield Row(depth, words=_short(child))
                yield from _rows(child, depth + 1, told)
            else:
                yield from _rows(child, depth, told)


def _heading(plan: Plan, node: Parallel | Rollout) -> str:
    if isinstance(node, Rollout):
        items = [item for child in node.nodes if (item := _item(plan, child))]
        if items:
            return f"For each of {len(node.nodes)}: {', '.join(items)} · {_pace(node)}"
    return _short(node)


def _short(node: Parallel | Rollout) -> str:
    if isinstance(node, Parallel):
        return "At the same time"
    return f"For each of {len(node.nodes)}, {_pace(node)}"


def _pace(node: Rollout) -> str:
    at_once = "one at a time" if node.batch == 1 else f"{node.batch} at once"
    return f"{at_once}, {duration(node.pause_s)} between" if node.pause_s else at_once


def _merged(kept: list[tuple[StepState, list[str]]], depth: int) -> Iterator[Row]:
    words = {StepState.SUCCEEDED: "Done", StepState.PENDING: "Not begun"}
    for state, items in kept:
        yield Row(depth, words=f"{', '.join(items)} · {words.get(state, 'Skipped')}")


def _item(plan: Plan, node: Node) -> str | None:
    """The item of a for-each that all steps below `node` are for."""
    items = {plan.steps[at].each for at in positions(node)}
    return next(iter(items)) if len(items) == 1 else None


def _the_same(items: Sequence[str], item: str | None) -> str:
    return f"The same for {', '.join(items)}, in the place of {item}"


def _same_but_for_item(plan: Plan, first: Node, other: Node) -> str | None:
    """The item of `other`, where putting it in the place of `first`'s gives `other` exactly."""
    ours = [plan.steps[at] for at in positions(first)]
    theirs = [plan.steps[at] for at in positions(other)]
    mine, item = _item(plan, first), _item(plan, other)
    if not mine or not item or mine == item:
        return None
    same = _content(ours).replace(_inner(mine), _inner(item)) == _content(theirs)
    return item if same else None


def _content(steps: Sequence[PlannedStep]) -> str:
    """All that a card tells of steps."""
    fields = {"id", "undo"}
    return json.dumps([step.model_dump(mode="json", exclude=fields) for step in steps])


def _inner(text: str) -> str:
    """As it stands inside a JSON string."""
    return json.dumps(text)[1:-1]


def duration(seconds: float) -> str:
    """A length of time as people say it: `1.2 s`, `3 min 5 s`, `2 h`, `1 d`."""
    if seconds < 60:
        return f"{max(seconds, 0):.1f}".removesuffix(".0") + " s"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    rest, parts = round(seconds), []
    for unit, length in units:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
