"""Three replicas on PostgreSQL: any takes a press, and the living take over from the dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from bot import names
from tests.support.cluster import Cluster, ReplicaProcess, cluster
from tests.support.countersign import ALICE, BOB, DEPLOYS
from tests.support.postgres import Postgres
from tests.support.workspace import Page

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

WORKFLOW = """\
name: Hold and go on
objective: Be in the middle of a step when the replica that does it dies.
parameters:
  mark: {description: tells the runs apart, pattern: "[a-z0-9-]{1,20}"}
steps:
  - id: before
    name: Before
    action: command.run
    with: {program: note, arguments: ["${parameters.mark}", before]}
  - id: hold
    name: Hold
    action: command.run
    with: {program: hold, arguments: ["${parameters.mark}"]}
  - id: after
    name: After
    action: command.run
    with: {program: note, arguments: ["${parameters.mark}", after]}
guardrails:
  - {type: approval, roles: [approver]}
"""

PROGRAMS = """\
    note:
      path: "{home}/note.sh"
      arguments: ["[a-z0-9-]{{1,20}}", "before|after"]
      risk: change
      idempotency: natural
    hold:
      path: "{home}/hold.sh"
      arguments: ["[a-z0-9-]{{1,20}}"]
      risk: change
      idempotency: keyed
"""

# The parent is the replica. The first to hold a mark stays until the mark is let go.
NOTE = '#!/bin/sh\necho "$1 $2 $PPID" >> {home}/notes.txt\n'
HOLD = """\
#!/bin/sh
echo "$1 hold $PPID" >> {home}/notes.txt
mkdir {home}/held-$1 2>/dev/null || exit 0
for _ in $(seq 2000); do [ -d {home}/go-$1 ] && exit 0; sleep 0.05; done
"""


class Trial:
    """Runs of the workflow, and which process did which step of them."""

    def __init__(self, replicas: Cluster) -> None:
        self.cluster = replicas
        home = replicas.home
        (home / "config" / "workflows" / "hold.yaml").write_text(WORKFLOW)
        commands = home / "config" / "integrations" / "commands.yaml"
        commands.write_text(commands.read_text() + PROGRAMS.format(home=home))
        for name, script in (("note.sh", NOTE), ("hold.sh", HOLD)):
            (home / name).write_text(script.format(home=home))
            (home / name).chmod(0o755)

    def did(self, mark: str, step: str) -> list[int]:
        """Ids of the processes that did a step, each time it was begun."""
        notes = self.cluster.home / "notes.txt"
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [int(line.split()[2]) for line in lines if line.startswith(f"{mark} {step} ")]

    def let_go(self, mark: str) -> None:
        """Whoever holds the mark comes to an end."""
        (self.cluster.home / f"go-{mark}").mkdir()

    def replica_of(self, pid: int) -> ReplicaProcess:
        """The replica that a process is."""
        return next(r for r in self.cluster.replicas.values() if r.pid == pid)

    async def card(self, page: Page, mark: str, words: str) -> dict[str, Any]:
        """The run's card, the only one, once it has these words."""

        async def shown() -> dict[str, Any] | None:
            cards = [m for m in await page.messages(DEPLOYS) if mark in str(m["blocks"])]
            assert len(cards) <= 1, f"{len(cards)} cards for {mark}"
            return next((c for c in cards if words in c["text"] + str(c["blocks"])), None)

        card = await self.cluster.until(shown, f"{words!r} on the card of {mark}")
        assert card is not None
        return card

    async def begin(self, alice: Page, bob: Page, mark: str) -> ReplicaProcess:
        """Ask for a run and countersign it; the replica that is in the middle of it."""
        answer = await alice.command(DEPLOYS, f"/ops run hold mark={mark}")
        assert answer["ok"], answer
        await bob.press(await self.card(bob, mark, names.APPROVE), names.APPROVE)
        await self.cluster.until(lambda: self.did(mark, "hold"), f"{mark} is held")
        return self.replica_of(self.did(mark, "hold")[0])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trial(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Trial]:
    """Three replicas with the default settings."""
    url = postgres.new_database()
    folder = tmp_path_factory.mktemp("takeover")
    async with cluster(folder, ("a", "b", "c"), url) as replicas:
        made = Trial(replicas)
        await replicas.start()
        yield made
    postgres.drop(url)


async def test_the_runs_of_a_killed_replica_go_on_elsewhere_within_thirty_seconds(
    trial: Trial,
) -> None:
    async with trial.cluster.page(ALICE) as alice, trial.cluster.page(BOB) as bob:
        marks = ["kill-1", "kill-2", "kill-3", "kill-4"]
        held_by = {mark: await trial.begin(alice, bob, mark) for mark in marks}
        victim = held_by[marks[0]]
        lost = [mark for mark in marks if held_by[mark] is victim]
        await victim.kill()
        killed = time.monotonic()
        for mark in lost:
            await trial.cluster.until(
                lambda m=mark: len(trial.did(m, "hold")) == 2, f"{mark} goes on"
            )
            taken_s = time.monotonic() - killed
            print(f"{mark} was taken over after {taken_s:.1f} s")
            assert taken_s < 30
        for mark in marks:
            trial.let_go(mark)
            await trial.card(alice, mark, "Done: ")
            assert len(trial.did(mark, "before")) == len(trial.did(mark, "after")) == 1
            assert len(trial.did(mark, "hold")) == (2 if mark in lost else 1)
            assert trial.did(mark, "after")[0] != victim.pid or mark not in lost
        await trial.cluster.start()


async def test_what_a_replica_has_in_hand_when_it_is_stopped_goes_on_at_once(
    trial: Trial,
) -> None:
    async with trial.cluster.page(ALICE) as alice, trial.cluster.page(BOB) as bob:
        first = await trial.begin(alice, bob, "stop-1")
        stopping = asyncio.create_task(first.stop())
        begun = time.monotonic()
        await trial.cluster.until(
            lambda: len(trial.did("stop-1", "hold")) == 2, "it goes on elsewhere"
        )
        print(f"handed over after {time.monotonic() - begun:.1f} s")
        assert time.monotonic() - begun < 10
        assert await stopping == 0
        trial.let_go("stop-1")
        await trial.card(alice, "stop-1", "Done: ")
        assert len(trial.did("stop-1", "after")) == 1
        await trial.cluster.start()


async def test_a_replica_that_was_suspended_finds_its_work_taken_over_and_ends(
    trial: Trial,
) -> None:
    async with trial.cluster.page(ALICE) as alice, trial.cluster.page(BOB) as bob:
        suspended = await trial.begin(alice, bob, "pause-1")
        suspended.pause()
        await trial.card(alice, "pause-1", "Done: ")
        trial.let_go("pause-1")  # it wakes up with its step done, and would go on
        suspended.resume()
        assert await suspended.ended() != 0
        assert "another has taken over its work" in suspended.said()
        assert len(trial.did("pause-1", "hold")) == 2
        assert len(trial.did("pause-1", "before")) == len(trial.did("pause-1", "after")) == 1
        await trial.card(alice, "pause-1", "Done: ")
        await trial.cluster.start()


async def test_all_replicas_can_be_killed_at_once(trial: Trial) -> None:
    async with trial.cluster.page(ALICE) as alice, trial.cluster.page(BOB) as bob:
        await trial.begin(alice, bob, "all-1")
        for replica in trial.cluster.replicas.values():
            await replica.kill()
        trial.let_go("all-1")
        await trial.cluster.start()
        await trial.card(alice, "all-1", "Done: ")
        assert len(trial.did("all-1", "before")) == len(trial.did("all-1", "after")) == 1
    assert "whole" in await trial.cluster.command("audit", "verify")
