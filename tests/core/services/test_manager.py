"""A broadcast brings every answer, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from core.errors import InvalidRequestError, NotFoundError
from core.services.ai import OrchestratorBusyError
from core.services.manager import AIIntegrationManager, Answer, Failure, TimedOut


class Named:
    """A responder made of a name and a coroutine function."""

    def __init__(self, name: str, respond: Callable[[str], Awaitable[str]]) -> None:
        self.name = name
        self._respond = respond

    async def respond(self, instruction: str) -> str:
        return await self._respond(instruction)


async def shout(instruction: str) -> str:
    return instruction.upper()


async def busy(_: str) -> str:
    raise OrchestratorBusyError("The queue is full.")


async def defective(_: str) -> str:
    raise ZeroDivisionError


async def gives_up(_: str) -> str:
    raise TimeoutError


async def forever(_: str) -> str:
    await asyncio.Event().wait()
    return "never"


async def stubborn(_: str) -> str:
    while True:
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
            raise


async def cancels_itself(_: str) -> str:
    raise asyncio.CancelledError


def manager(**responders: Callable[[str], Awaitable[str]]) -> AIIntegrationManager:
    return AIIntegrationManager([Named(name, call) for name, call in responders.items()])


async def test_all_outcomes_in_the_order_of_the_names() -> None:
    everyone = manager(
        shout=shout,
        busy=busy,
        defective=defective,
        gives_up=gives_up,
        forever=forever,
        stubborn=stubborn,
        cancels_itself=cancels_itself,
        last=shout,
    )
    result = await everyone.broadcast("go", everyone.names, deadline_s=0.2)
    assert [item.responder for item in result.outcomes] == list(everyone.names)
    kinds = [type(item) for item in result.outcomes]
    assert kinds == [Answer, Failure, Failure, Failure, TimedOut, TimedOut, Failure, Answer]
    assert [answer.text for answer in result.answers] == ["GO", "GO"]
    assert result.outcomes[1].reason == "The queue is full."
    assert "ZeroDivisionError" in result.outcomes[2].reason
    assert not result.complete


async def test_responders_work_at_the_same_time() -> None:
    first, second = asyncio.Event(), asyncio.Event()

    async def one(_: str) -> str:
        first.set()
        await second.wait()
        return "one"

    async def two(_: str) -> str:
        await first.wait()
        second.set()
        return "two"

    result = await manager(one=one, two=two).broadcast("go", ["one", "two"])
    assert result.complete


async def test_the_late_are_cancelled() -> None:
    cancelled = asyncio.Event()

    async def slow(_: str) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "never"

    await manager(slow=slow).broadcast("go", ["slow"], deadline_s=0.05)
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_leaving_a_broadcast_cancels_everyone() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(_: str) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "never"

    broadcast = asyncio.create_task(manager(slow=slow).broadcast("go", ["slow"]))
    await started.wait()
    broadcast.cancel()
    with pytest.raises(asyncio.CancelledError):
        await broadcast
    await asyncio.wait_for(cancelled.wait(), 1)


async def test_an_unknown_name_is_refused_before_anyone_is_asked() -> None:
    asked = []

    async def record(instruction: str) -> str:
        asked.append(instruction)
        return "ok"

    with pytest.raises(NotFoundError, match=r"nobody.*There are: record"):
        await manager(record=record).broadcast("go", ["record", "nobody"])
    assert asked == []


async def test_a_name_given_twice_is_asked_once_and_none_is_nothing() -> None:
    everyone = manager(shout=shout)
    assert len((await everyone.broadcast("go", ["shout", "shout"])).outcomes) == 1
    assert (await everyone.broadcast("go", [])).outcomes == ()


def test_two_of_the_same_name_are_refused() -> None:
    with pytest.raises(InvalidRequestError):
        AIIntegrationManager([Named("a", shout), Named("a", busy)])
