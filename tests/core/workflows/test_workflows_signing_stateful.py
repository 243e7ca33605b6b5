"""No reachable state runs an unsigned plan: random people, presses, races, edits and clocks.

Rules of https://hypothesis.readthedocs.io/en/latest/stateful.html act on two replicas of the real
service on one real database; `signing_model` says independently what must come of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update

from core.errors import CountersignError
from core.store.database import Database
from core.store.tables import runs, signatures
from core.workflows.plan import Plan
from core.workflows.run import Run, RunState
from core.workflows.signatures import Decision
from tests.core.workflows.office import EVE, Clock, Groups, rules
from tests.core.workflows.parts import lines
from tests.core.workflows.replicas import Replica, carry_out_together, replica
from tests.core.workflows.signing_cases import EVIL, GROUPS, PEOPLE, REASON, RULES, edits, workflows
from tests.core.workflows.signing_model import Known, Press, Rule, Town
from tests.support.postgres import Postgres

T = TypeVar("T")

_RUNS = 2  # under way at a time, so that most of what happens happens to the same
WHICH = st.integers(0, _RUNS - 1)


@dataclass
class World:
    """Two replicas, and what they share."""

    runner: asyncio.Runner
    replicas: tuple[Replica, Replica]
    clock: Clock
    groups: Groups
    effects: Path
    numbers: Iterator[int]
    ran: int = 0

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


class Signatures(RuleBasedStateMachine):
    """People, presses, time and vandals."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        fresh = Groups()
        self.world.groups.members = fresh.members
        self.town = Town(
            fresh.members,
            {
                "engineer": ({"engineers"}, set()),
                "approver": ({"oncall"}, set()),
                "lead": ({"leads"}, set()),
                "security": ({"security"}, {EVE}),
            },
        )
        self.runs: list[Known] = []
        for person in PEOPLE:
            self.do(self.world.replicas[0].delegations.back(person))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.world.do(work)

    @property
    def now(self) -> Any:
        return self.world.clock.now

    # -- what people do

    @initialize(
        members=st.fixed_dictionaries(
            {group: st.sets(st.sampled_from(PEOPLE)) for group in GROUPS}
        ),
        away=st.lists(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)), max_size=3),
        name=st.sampled_from(list(RULES)),
        user=st.sampled_from(PEOPLE),
        order=st.permutations(PEOPLE),
        stages=st.integers(0, 4),
    )
    def begin(
        self,
        members: dict[str, set[str]],
        away: list[tuple[str, str]],
        name: str,
        user: str,
        order: list[str],
        stages: int,
    ) -> None:
        self.town.groups.update(members)
        for person, delegate in away:
            self._go_away(person, delegate, 2)
        self._begin(name, user, order, stages)

    @precondition(lambda self: len(self._live()) < _RUNS)
    @rule(
        name=st.sampled_from(list(RULES)),
        user=st.sampled_from(PEOPLE),
        order=st.permutations(PEOPLE),
        stages=st.integers(0, 4),
    )
    def ask(self, name: str, user: str, order: list[str], stages: int) -> None:
        self._begin(name, user, order, stages)

    def _begin(self, name: str, user: str, order: list[str], stages: int) -> None:
        known = self.do(self._ask(name, user))
        self.runs.append(known)
        self._go_far(known, order, stages)

    async def _ask(self, name: str, user: str) -> Known:
        run_id = f"{next(self.world.numbers):012x}"
        run = await self.world.replicas[0].ask(name, run_id, user, self.now)
        content = _content(run.plan)
        return Known(run_id, RULES[name][0], user, self.now, content, content)

    @rule(
        which=WHICH,
        user=st.sampled_from(PEOPLE),
        decision=st.sampled_from([Decision.APPROVE] * 5 + [Decision.DENY]),
        right_phrase=st.booleans(),
        at=st.integers(0, 1),
    )
    def press(self, which: int, user: str, decision: Decision, right_phrase: bool, at: int) -> None:
        known = self._pick(which)
        self._press(known, user, decision, right_phrase, at)

    def _press(
        self, known: Known, user: str, decision: Decision, right_phrase: bool, at: int
    ) -> None:
        waited = self._run(known).state is RunState.AWAITING
        may = self._may(known, user, decision, right_phrase) and waited
        taken = self.do(self._sign(at, known, user, decision, right_phrase))
        if known.stored == known.asked:
            assert taken == may, f"{user} {decision} on {known}: {taken}, must be {may}"
        elif decision is Decision.APPROVE:
            assert known.covered or not taken, f"{user} has signed an altered plan: {known}"
        self._note(known)

    @rule(
        which=WHICH,
        first=st.sampled_from(PEOPLE),
        second=st.sampled_from(PEOPLE),
        denies=st.booleans(),
    )
    def press_at_once(self, which: int, first: str, second: str, denies: bool) -> None:
        """Two people, or one with two fingers, on two replicas; one approves, the other maybe."""
        known = self._pick(which)
        other = Decision.DENY if denies else Decision.APPROVE

        async def both() -> list[bool]:
            return await asyncio.gather(
                self._sign(0, known, first, Decision.APPROVE, True),
                self._sign(1, known, second, other, True),
            )

        taken = self.do(both())
        if first == second and not denies:
            assert sum(taken) < 2
        self._note(known)

    @rule(which=WHICH, user=st.sampled_from(PEOPLE), at=st.integers(0, 1))
    def break_glass(self, which: int, user: str, at: int) -> None:
        known = self._pick(which)
        waited = self._run(known).state is RunState.AWAITING
        again = any(p.user == user and p.kind == "break_glass" for p in known.presses)
        press = Press(user, None, "break_glass", self.now, known.stored)
        may = waited and not again and known.may_press(self.town, press)

        async def attempt() -> bool:
            try:
                await self.world.replicas[at].service.break_glass(known.id, user, REASON)
            except CountersignError:
                return False
            return True

        taken = self.do(attempt())
        if known.stored == known.asked:
            assert taken == may, f"{user} broke the glass of {known}: {taken}, must be {may}"
        else:
            assert known.covered or not taken
        self._note(known)

    @rule(which=WHICH, user=st.sampled_from(PEOPLE), at=st.integers(0, 1))
    def cancel(self, which: int, user: str, at: int) -> None:
        known = self._pick(which)

        async def attempt() -> bool:
            try:
                await self.world.replicas[at].service.cancel(known.id, user)
            except CountersignError:
                return False
            return True

        if self.do(attempt()):
            assert user == known.requester or "lead" in self.town.held(user)

    # -- what the machinery does

    @rule(which=WHICH, by=st.sampled_from([(0,), (1,), (0, 1)]))
    def carry_out(self, which: int, by: tuple[int, ...]) -> None:
        """By one replica, or by both at once."""
        known = self._pick(which)
        self._carry_out(known, by)

    @rule(which=WHICH, order=st.permutations(PEOPLE), stages=st.integers(1, 4))
    def go_far(self, which: int, order: list[str], stages: int) -> None:
        self._go_far(self._pick(which), order, stages)

    def _go_far(self, known: Known, order: list[str], stages: int) -> None:
        """As a run mostly goes: everybody signs, it begins, it is confirmed, it goes on."""
        if stages > 0:
            for turn, user in enumerate(order):
                self._press(known, user, Decision.APPROVE, True, turn % 2)
        if stages > 1:
            self._carry_out(known, (0,))
        if stages > 2:
            for user in order:
                self._confirm(known, user, 1)
        if stages > 3:
            self._carry_out(known, (1,))

    def _carry_out(self, known: Known, by: tuple[int, ...]) -> None:
        before = self._run(known)
        may = known.may_run(self.town, self.now)
        untouched = known.sound

        self.do(carry_out_together([self.world.replicas[at] for at in by], before))
        after = self._run(known)
        if before.state is RunState.APPROVED:
            assert (after.state is RunState.ATTENTION) == may, f"{known}: {after.reason}"
            known.begun = may
        elif before.state is RunState.RUNNING:
            assert (after.state is RunState.SUCCEEDED) == untouched, f"{known}: {after.reason}"
            self.world.ran += untouched
        else:
            assert after.state is before.state

    @rule(which=WHICH, user=st.sampled_from(PEOPLE), at=st.integers(0, 1))
    def confirm(self, which: int, user: str, at: int) -> None:
        known = self._pick(which)
        self._confirm(known, user, at)

    def _confirm(self, known: Known, user: str, at: int) -> None:
        async def attempt() -> None:
            try:
                await self.world.replicas[at].service.confirm(known.id, "look", user, True)
            except CountersignError:
                return

        if self._run(known).state is RunState.ATTENTION:
            self.do(attempt())

    @rule(at=st.integers(0, 1))
    def sweep(self, at: int) -> None:
        self.do(self.world.replicas[at].service.sweep())

    # -- what changes around them

    @rule(minutes=st.sampled_from([1, 30, 59, 60, 180]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.later(minutes=minutes)

    @rule(group=st.sampled_from(GROUPS), user=st.sampled_from(PEOPLE))
    def join_or_leave(self, group: str, user: str) -> None:
        self.town.groups[group] ^= {user}

    @rule(user=st.sampled_from(PEOPLE), delegate=st.sampled_from(PEOPLE), hours=st.integers(1, 30))
    def go_away(self, user: str, delegate: str, hours: int) -> None:
        self._go_away(user, delegate, hours)

    def _go_away(self, user: str, delegate: str, hours: int) -> None:
        end = self.now + timedelta(hours=hours)

        async def attempt() -> bool:
            one = self.world.replicas[0]
            try:
                await one.delegations.away(user, await one.roles.of(user), delegate, end)
            except CountersignError:
                return False
            return True

        if self.do(attempt()):
            self.town.away[user] = (delegate, self.now, end)

    @rule(user=st.sampled_from(PEOPLE))
    def come_back(self, user: str) -> None:
        self.do(self.world.replicas[1].delegations.back(user))
        self.town.away.pop(user, None)

    @rule(which=WHICH, how=st.sampled_from(list(edits())), covered=st.booleans())
    def tamper(self, which: int, how: str, covered: bool) -> None:
        """Alter the stored plan; with `covered`, its digest in the table too."""
        known = self._pick(which)
        self.do(self._store_plan(known, how, covered))

    @rule(which=WHICH)
    def put_back(self, which: int) -> None:
        known = self._pick(which)
        self.do(self._store_plan(known, None, True))

    async def _store_plan(self, known: Known, how: str | None, covered: bool) -> None:
        plan = json.loads(known.asked)
        if how is not None:
            edits()[how](plan)
        shown = plan if covered else json.loads(known.asked)
        values = {"plan": plan, "digest": Plan.model_validate(shown).digest}
        async with self.world.replicas[0].database.write() as connection:
            await connection.execute(update(runs).where(runs.c.id == known.id).values(**values))
        known.stored = json.dumps(plan, sort_keys=True)
        known.covered = covered or known.stored == known.asked

    # -- what must always be so

    @invariant()
    def nothing_unsigned_has_run(self) -> None:
        done = lines(self.world.effects)
        assert EVIL not in done
        for known in self.runs:
            for which in ("first", "second"):
                assert done.count(f"{known.id} {which}") <= (1 if known.begun else 0)

    @invariant()
    def nothing_has_begun_that_was_not_right(self) -> None:
        async def rows() -> list[Any]:
            ids = [known.id for known in self.runs]
            query = select(runs.c.id, runs.c.begun_at, runs.c.state).where(runs.c.id.in_(ids))
            async with self.world.replicas[1].database.read() as connection:
                return list((await connection.execute(query)).all())

        now = {row.id: row for row in self.do(rows())}
        for known in self.runs:
            known.over = RunState(now[known.id].state).final
            assert (now[known.id].begun_at is not None) == known.begun

    def teardown(self) -> None:
        async def end() -> None:
            for known in self.runs:
                open_states = {state for state in RunState if not state.final}
                await self.world.replicas[0].store.transition(
                    known.id, open_states, RunState.CANCELLED, "test"
                )

        self.do(end())

    # -- helpers

    def _live(self) -> list[Known]:
        return [known for known in self.runs if not known.over]

    def _pick(self, which: int) -> Known:
        """One of the runs that have not ended; an ended one only where all have."""
        some = self._live() or self.runs
        return some[which % len(some)]

    def _run(self, known: Known) -> Run:
        return self.do(self.world.replicas[0].store.get(known.id))

    async def _sign(
        self, at: int, known: Known, user: str, decision: Decision, right_phrase: bool
    ) -> bool:
        name = next(n for n, (its, _) in RULES.items() if its is known.rule)
        phrase = name if right_phrase else "whatever"
        try:
            await self.world.replicas[at].service.sign(known.id, user, decision, phrase)
        except CountersignError:
            return False
        return True

    def _may(self, known: Known, user: str, decision: Decision, right_phrase: bool) -> bool:
        """Whether the press must be taken: the person may decide for somebody, and it helps."""
        kind = str(decision)
        if any(press.user == user and press.kind == kind for press in known.presses):
            return False
        if kind == "approve" and (user == known.requester):
            return False
        if kind == "approve" and known.rule.phrase and not right_phrase:
            return False
        # The clock stands still between presses, and each is a moment after the one before.
        moment = max([self.now, *(p.at + timedelta(microseconds=1) for p in known.presses)])
        for away in (None, *self.town.away):
            if away == user:
                continue
            press = Press(user, away, kind, moment, known.stored)
            if known.may_press(self.town, press):
                return True
        return False

    def _note(self, known: Known) -> None:
        """Take over what the table has now, where the model agrees that it could be taken."""

        async def rows() -> list[Any]:
            query = select(signatures).where(signatures.c.run_id == known.id)
            async with self.world.replicas[0].database.read() as connection:
                return list((await connection.execute(query.order_by(signatures.c.at))).all())

        for row in self.do(rows()):
            if any((p.user, p.kind) == (row.user, row.decision) for p in known.presses):
                continue
            assert row.at - self.now < timedelta(milliseconds=1)
            press = Press(row.user, row.on_behalf, row.decision, row.at, known.stored)
            if known.stored == known.asked:
                assert self._right_person(known, press), f"{press} was taken: {known}"
            known.presses.append(press)

    def _right_person(self, known: Known, press: Press) -> bool:
        """Whether the person may decide at all; in a race both may fill the same last place."""
        alone = Known(
            known.id, known.rule, known.requester, known.created_at, known.asked, known.stored
        )
        if press.kind != "approve" or not known.rule.in_order:
            return alone.may_press(self.town, press)
        relaxed = Rule(known.rule.places, hours=known.rule.hours)
        alone.rule = relaxed
        return alone.may_press(self.town, press)


def _content(plan: Plan) -> str:
    return json.dumps(plan.model_dump(mode="json", by_alias=True), sort_keys=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Two replicas, each with its own connections to one database."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'countersign.db'}"
    server: Postgres | None = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.new_database()
    clock, groups = Clock(), Groups()
    with ExitStack() as stack, asyncio.Runner() as runner:
        databases = [Database(url) for _ in range(2)]
        for database in databases:
            runner.run(database.open())
        one, two = (
            replica(database, tmp_path, rules(), workflows(), clock, groups)
            for database in databases
        )
        yield World(runner, (one, two), clock, groups, tmp_path / "lines", count(1))
        for database in databases:
            runner.run(database.close())
        if server is not None:
            stack.callback(server.drop, url)


def explore(world: World, examples: int, steps: int) -> None:
    """Let hypothesis look for a sequence of events that breaks a rule."""
    machine = type("Signatures", (Signatures,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert world.ran > 0, "no run has come to its end, so this has shown nothing"


def test_no_reachable_state_runs_an_unsigned_plan(world: World) -> None:
    explore(world, examples=60, steps=20)


@pytest.mark.slow
def test_no_reachable_state_runs_an_unsigned_plan_in_a_long_search(world: World) -> None:
    explore(world, examples=200, steps=50)
