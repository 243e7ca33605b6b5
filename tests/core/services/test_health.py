"""How systems are: asked at once, remembered for a while, never asked by those who only look."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from core.errors import CountersignError
from core.services.health import HEALTH, HealthWatch
from core.services.manager import AIIntegrationManager
from tests.support.until import until


@dataclass
class Forge:
    """A system that is well, ill (it says so), broken (it raises anything) or silent."""

    name: str
    state: str = "well"
    asked: list[str] = field(default_factory=list)

    async def respond(self, instruction: str) -> str:
        self.asked.append(instruction)
        if self.state == "ill":
            raise CountersignError("it answers 500")
        if self.state == "broken":
            raise RuntimeError("secret detail")
        if self.state == "silent":
            await asyncio.Event().wait()
        return "answers"


def watch(*systems: Forge, fresh_s: float = 0.0) -> HealthWatch:
    return HealthWatch(AIIntegrationManager(systems, deadline_s=0.2), fresh_s)


async def test_one_that_does_not_answer_hides_none_of_the_others() -> None:
    systems = Forge("a"), Forge("b", "ill"), Forge("c", "silent"), Forge("d", "broken"), Forge("e")
    seen = {one.name: one for one in await watch(*systems).now()}
    assert {name: one.ready for name, one in seen.items()} == {
        "a": True,
        "b": False,
        "c": False,
        "d": False,
        "e": True,
    }
    assert (seen["a"].detail, seen["b"].detail) == ("answers", "it answers 500")
    assert seen["c"].detail.startswith("no answer within")
    assert "secret" not in seen["d"].detail
    assert all(system.asked == [HEALTH] for system in systems)


async def test_all_who_look_at_the_same_time_share_one_asking() -> None:
    forge = Forge("a")
    board = watch(forge, fresh_s=60)
    for _ in range(3):
        await asyncio.gather(*(board.now() for _ in range(20)))
    assert len(forge.asked) == 1


async def test_what_is_not_fresh_any_more_is_asked_again() -> None:
    forge = Forge("a")
    board = watch(forge)
    await board.now()
    forge.state = "ill"
    (seen,) = await board.now()
    assert (seen.ready, len(forge.asked)) == (False, 2)


async def test_who_only_wants_the_last_answer_waits_for_nobody() -> None:
    forge = Forge("a")
    board = watch(forge)
    assert board.degraded == {}
    await board.last()
    forge.state = "silent"
    (seen,) = await board.last()
    assert (seen.ready, board.degraded, len(forge.asked)) == (True, {}, 1)
    await board.now()
    assert list(board.degraded) == ["a"]


async def test_a_change_is_logged_once_and_its_time_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "core.services.health")
    forge = Forge("a")
    board = watch(forge)
    (well,) = await board.now()
    forge.state = "ill"
    (ill,) = await board.now()
    (still,) = await board.now()
    forge.state = "well"
    (again,) = await board.now()
    assert well.since < ill.since == still.since < again.since
    assert [record.getMessage() for record in caplog.records] == [
        "a is not ready: it answers 500",
        "a is ready again: answers",
    ]


async def test_in_the_background_it_asks_at_once_and_then_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.services.health._EVERY_S", 0.01)
    forge = Forge("a")
    task = asyncio.create_task(watch(forge).run())
    await until(lambda: len(forge.asked) >= 3, "asked three times", 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
