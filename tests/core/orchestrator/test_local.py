"""The supervised model server: it comes back, it never blocks us, it never outlives us."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from core.orchestrator import LocalAIOrchestrator
from core.orchestrator.files.catalog import DEFAULT_CHAT_MODEL
from core.services.ai import (
    AIOrchestratorClient,
    ChatMessage,
    ChatRequest,
    OrchestratorUnavailableError,
)
from tests.support.model_server import until
from tests.support.tiny_adapters import save_adapter

HELLO = ChatRequest(messages=(ChatMessage(role="user", content="Say hello."),), max_tokens=4)
STORY = ChatRequest(
    messages=(ChatMessage(role="user", content="Write a very long story."),), max_tokens=4000
)


@pytest_asyncio.fixture
async def local(models_dir: Path) -> AsyncIterator[LocalAIOrchestrator]:
    orchestrator = LocalAIOrchestrator(models_dir)
    await orchestrator.start()
    yield orchestrator
    await orchestrator.close()


def alive(pid: int) -> bool:
    """True where the process runs; a zombie does not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


async def test_it_answers_and_stops(models_dir: Path) -> None:
    orchestrator = LocalAIOrchestrator(models_dir)
    assert isinstance(orchestrator, AIOrchestratorClient)
    with pytest.raises(OrchestratorUnavailableError, match="start"):
        await orchestrator.chat(HELLO)
    await orchestrator.start()
    assert (await orchestrator.chat(HELLO)).text
    assert await orchestrator.choose(HELLO, ["a", "b"]) in ("a", "b")
    assert {"chat", "embeddings"} <= {
        item for model in await orchestrator.models() for item in model.capabilities
    }
    pid = orchestrator.server_pid
    assert pid is not None
    reading = asyncio.create_task(orchestrator.chat(STORY))

    async def running() -> bool:
        return (await orchestrator.health()).running == 1

    await until(running)
    await orchestrator.close()
    with pytest.raises(OrchestratorUnavailableError):
        await reading
    assert not alive(pid)
    assert not (await orchestrator.health()).ready
    with pytest.raises(OrchestratorUnavailableError, match="stopped"):
        await orchestrator.chat(HELLO)


@pytest.mark.slow
async def test_a_killed_server_is_an_error_at_once_and_comes_back(
    local: LocalAIOrchestrator,
) -> None:
    begun: set[int] = set()
    running: set[int] = set()  # of these, those before the kill
    ended: list[float] = []

    async def read(number: int) -> str:
        """The first text of a story that begins after the kill, or the error."""
        try:
            async for chunk in local.stream(STORY):
                if chunk.place is not None:
                    continue
                begun.add(number)
                if running and number not in running:
                    return chunk.text
        except OrchestratorUnavailableError:
            ended.append(time.monotonic())
            raise
        raise AssertionError("the story ended before the server was killed")

    streams = [asyncio.create_task(read(number)) for number in range(16)]

    async def eight_run_and_eight_wait() -> bool:
        health = await local.health()
        return (health.running, health.waiting, len(begun)) == (8, 8, 8)

    await until(eight_run_and_eight_wait)
    running |= begun
    first = local.server_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    moment = time.monotonic()
    broken = await asyncio.gather(*(streams[at] for at in running), return_exceptions=True)
    for error in broken:
        assert isinstance(error, OrchestratorUnavailableError)
        assert "model server" in str(error)
    print(f"those who read had their error after {max(ended) - moment:.3f} s")
    assert max(ended) - moment < 2
    # Asked before the supervisor need know that the server is dead: they wait, and are answered.
    replies = await asyncio.gather(*(local.chat(HELLO) for _ in range(12)))
    assert all(reply.text for reply in replies)
    waiting = [stream for at, stream in enumerate(streams) if at not in running]
    assert all(await asyncio.gather(*waiting))
    print(f"those who waited were answered {time.monotonic() - moment:.1f} s after the kill")
    health = await local.health()
    assert health.ready
    assert health.restarts == 1
    assert local.server_pid not in (None, first)

    second = local.server_pid
    assert second is not None
    os.kill(second, signal.SIGKILL)

    async def noticed() -> bool:
        return local.server_pid is None

    await until(noticed)
    with pytest.raises(OrchestratorUnavailableError, match="did not come back in time"):
        await local.chat(HELLO.model_copy(update={"deadline_s": 0.3}))


@pytest.mark.slow
async def test_a_server_that_is_started_again_serves_its_adapters(
    models_dir: Path, tmp_path: Path
) -> None:
    save_adapter(tmp_path / "merry", models_dir / DEFAULT_CHAT_MODEL, ("q_proj",))
    orchestrator = LocalAIOrchestrator(models_dir, embedding_model=None, adapters_dir=tmp_path)
    await orchestrator.start()
    await orchestrator.load_adapter("merry", "merry")
    pid = orchestrator.server_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    async def noticed() -> bool:
        return orchestrator.server_pid != pid

    await until(noticed)
    reply = await orchestrator.chat(HELLO.model_copy(update={"model": "merry"}))
    assert reply.model == "merry"
    assert (await orchestrator.health()).restarts == 1
    await orchestrator.close()


@pytest.mark.slow
async def test_the_server_ends_with_its_parent(models_dir: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from core.orchestrator import LocalAIOrchestrator\n"
        "async def main():\n"
        "    local = LocalAIOrchestrator(Path(sys.argv[1]))\n"
        "    await local.start()\n"
        "    print(local.server_pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(models_dir), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.wait()

    async def gone() -> bool:
        return not alive(pid)

    await until(gone)


async def test_the_event_loop_goes_on_while_the_model_works(local: LocalAIOrchestrator) -> None:
    loop = asyncio.get_running_loop()
    stalls: list[float] = []
    pieces = 0

    async def tick() -> None:
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            stalls.append(loop.time() - before - 0.005)

    async def read() -> None:
        nonlocal pieces
        async for _ in local.stream(STORY.model_copy(update={"max_tokens": 40})):
            pieces += 1

    ticking = asyncio.create_task(tick())
    await asyncio.gather(*(read() for _ in range(4)))
    ticking.cancel()
    print(f"{pieces} pieces; longest stall of the event loop {max(stalls) * 1000:.1f} ms")
    assert pieces > 40
    assert max(stalls) < 1.0
