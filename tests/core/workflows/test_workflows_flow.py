"""In which order a plan's steps run: the walk alone, over a tree, with nothing behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from core.workflows.flow import Outcome, positions, walk
from core.workflows.plan import Node, One, Parallel, Rollout, Sequence


class Log:
    """Notes what it is asked to do; a step ends as it is told."""

    def __init__(self, **ends: Outcome) -> None:
        self.ends = {int(name.removeprefix("s")): end for name, end in ends.items()}
        self.lines: list[str] = []
        self.at_once = self.most = 0

    async def perform(self, position: int, more: bool) -> Outcome:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.lines.append(f"{position}{'+' if more else ''}")
        await asyncio.sleep(0)
        self.at_once -= 1
        return self.ends.get(position, Outcome.DONE)

    async def pause(self, positions: Iterable[int], seconds: float) -> Outcome:
        self.lines.append(f"pause {seconds:g} after {sorted(positions)}")
        return self.ends.get(-1, Outcome.DONE)


def sequence(*nodes: Node | int) -> Sequence:
    return Sequence(nodes=_nodes(nodes))


def parallel(*nodes: Node | int) -> Parallel:
    return Parallel(nodes=_nodes(nodes))


def rollout(*nodes: Node | int, batch: int, pause: float = 0) -> Rollout:
    return Rollout(nodes=_nodes(nodes), batch=batch, pause_s=pause)


def _nodes(nodes: Iterable[Node | int]) -> tuple[Node, ...]:
    return tuple(One(step=node) if isinstance(node, int) else node for node in nodes)


async def test_a_sequence_runs_in_order_and_each_end_goes_along_with_what_is_next() -> None:
    log = Log()
    assert await walk(sequence(0, sequence(1, 2), 3), log) is Outcome.DONE
    assert log.lines == ["0+", "1+", "2+", "3+"]


@pytest.mark.parametrize("end", [Outcome.FAILED, Outcome.WAITING, Outcome.STOPPED])
async def test_a_sequence_ends_with_the_first_that_is_not_done(end: Outcome) -> None:
    log = Log(s1=end)
    assert await walk(sequence(0, 1, 2), log) is end
    assert log.lines == ["0+", "1+"]


async def test_branches_begin_together_and_each_writes_its_own_end() -> None:
    log = Log()
    assert await walk(sequence(parallel(0, sequence(1, 2)), 3), log) is Outcome.DONE
    assert log.lines == ["0", "1+", "2", "3+"]
    assert log.most == 2


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Outcome.DONE, Outcome.FAILED, Outcome.FAILED),
        (Outcome.FAILED, Outcome.WAITING, Outcome.WAITING),
        (Outcome.WAITING, Outcome.STOPPED, Outcome.STOPPED),
    ],
)
async def test_the_most_pressing_end_of_the_branches_counts(
    one: Outcome, other: Outcome, both: Outcome
) -> None:
    log = Log(s0=one, s1=other)
    assert await walk(sequence(parallel(0, 1, 2), 3), log) is both
    assert log.lines == ["0", "1", "2"], "all come to their end, and nothing follows"


async def test_an_error_in_one_branch_shows_when_the_others_have_come_to_their_end() -> None:
    class Broken(Log):
        async def perform(self, position: int, more: bool) -> Outcome:
            if position == 0:
                raise ZeroDivisionError
            return await super().perform(position, more)

    log = Broken()
    with pytest.raises(ZeroDivisionError):
        await walk(parallel(0, sequence(1, 2)), log)
    assert log.lines == ["1+", "2"]


async def test_a_rollout_goes_in_batches_with_pauses_between() -> None:
    log = Log()
    nodes = [sequence(0, 1), sequence(2, 3), sequence(4, 5)]
    assert await walk(rollout(*nodes, batch=2, pause=60), log) is Outcome.DONE
    assert log.lines == ["0+", "2+", "1", "3", "pause 60 after [0, 1, 2, 3]", "4+", "5"]
    assert log.most == 2


async def test_a_rollout_ends_after_the_batch_in_which_something_failed() -> None:
    log = Log(s1=Outcome.FAILED)
    assert await walk(rollout(0, 1, 2, batch=2), log) is Outcome.FAILED
    assert log.lines == ["0", "1"]
    log = Log()
    log.ends[-1] = Outcome.STOPPED
    assert await walk(rollout(0, 1, batch=1, pause=1), log) is Outcome.STOPPED
    assert log.lines == ["0", "pause 1 after [0]"]


async def test_an_empty_tree_is_done() -> None:
    for node in (sequence(), parallel(), rollout(batch=1)):
        assert await walk(node, Log()) is Outcome.DONE


def test_the_positions_of_a_tree_are_those_of_all_its_steps() -> None:
    tree = sequence(0, parallel(1, rollout(2, sequence(3), batch=1)))
    assert list(positions(tree)) == [0, 1, 2, 3]
