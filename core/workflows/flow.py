"""In which order the steps of a plan run: a walk over its tree.

What a step does, and what is written of it, is somebody else's matter (`Steps`). A walk is
repeatable: after a crash the same tree is walked again, and a step that has ended says so at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Protocol, assert_never

from core.workflows.plan import Node, One, Parallel, Rollout, Sequence


class Outcome(IntEnum):
    """How a part of the tree came to its end, the more pressing the higher.

    WAITING: it goes on when a person has answered. STOPPED: the run goes on no more, or not here.
    """

    DONE = 0
    FAILED = 1
    WAITING = 2
    STOPPED = 3


class Steps(Protocol):
    """Does the steps of one plan, by their positions in it."""

    async def perform(self, position: int, more: bool) -> Outcome:
        """Do one step, unless it has ended already.

        Args:
            more: something else is written at once after it, and can take its end along.
        """
        ...

    async def pause(self, positions: Iterable[int], seconds: float) -> Outcome:
        """Wait until so long after the last of these steps has ended."""
        ...


async def walk(node: Node, steps: Steps, more: bool = True) -> Outcome:
    """Run a part of the tree."""
    match node:
        case One():
            return await steps.perform(node.step, more)
        case Sequence():
            return await _in_sequence(node.nodes, steps, more)
        case Parallel():
            return await _at_once(node.nodes, steps)
        case Rollout():
            return await _in_batches(node, steps)
    assert_never(node)


def positions(node: Node) -> Iterator[int]:
    """Of all steps in a part of the tree."""
    if isinstance(node, One):
        yield node.step
    else:
        for inner in node.nodes:
            yield from positions(inner)


async def _in_sequence(nodes: tuple[Node, ...], steps: Steps, more: bool) -> Outcome:
    for number, node in enumerate(nodes, 1):
        outcome = await walk(node, steps, more or number < len(nodes))
        if outcome is not Outcome.DONE:
            return outcome
    return Outcome.DONE


async def _at_once(nodes: tuple[Node, ...], steps: Steps) -> Outcome:
    branches = (walk(node, steps, more=False) for node in nodes)
    ends = await asyncio.gather(*branches, return_exceptions=True)
    outcome = Outcome.DONE
    for end in ends:
        if isinstance(end, BaseException):
            raise end  # only now, when the others have come to their end
        outcome = max(outcome, end)
    return outcome


async def _in_batches(rollout: Rollout, steps: Steps) -> Outcome:
    for start in range(0, len(rollout.nodes), rollout.batch):
        if start and rollout.pause_s:
            before = rollout.nodes[start - rollout.batch : start]
            done = [position for node in before for position in positions(node)]
            if (outcome := await steps.pause(done, rollout.pause_s)) is not Outcome.DONE:
                return outcome
        outcome = await _at_once(rollout.nodes[start : start + rollout.batch], steps)
        if outcome is not Outcome.DONE:
            return outcome
    return Outcome.DONE
