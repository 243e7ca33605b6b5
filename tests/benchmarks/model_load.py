"""Keeps the model generating, through the client that the application itself uses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import count

from pydantic import BaseModel, ConfigDict

from core.services.ai import AIOrchestratorClient, ChatMessage, ChatRequest

_LOOK_S = 0.25
_MAX_TOKENS = 400
_QUOTED_CHARS = 1500
_DEADLINE_S = 900.0


class LoadFigures(BaseModel):
    """What the model did since the last reset.

    Attributes:
        tokens: pieces of text that came; a piece is a token but for parts of characters.
        looks: how often the server was asked for its load.
        least_running, least_waiting: the smallest answers. 0 running means that it was idle.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    tokens: int
    looks: int
    least_running: int
    least_waiting: int


class ModelLoad:
    """Long questions, one after the other in each of several streams.

    Args:
        texts: what is asked about, e.g. runbooks; each question quotes the start of one.
        streams: questions at a time; more than the server decodes at once, so that some wait.
    """

    def __init__(
        self, orchestrator: AIOrchestratorClient, texts: Sequence[str], streams: int
    ) -> None:
        self._orchestrator = orchestrator
        self._texts = texts
        self._streams = streams
        self._numbers = count()
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._tokens = 0
        self._running: list[int] = []
        self._waiting: list[int] = []
        self._reset_at = time.perf_counter()

    def figures(self) -> LoadFigures:
        """What was seen since the last reset."""
        return LoadFigures(
            seconds=time.perf_counter() - self._reset_at,
            tokens=self._tokens,
            looks=len(self._running),
            least_running=min(self._running, default=0),
            least_waiting=min(self._waiting, default=0),
        )

    @asynccontextmanager
    async def generating(self) -> AsyncIterator[None]:
        """Full load from entering, when text comes and questions wait, until leaving."""
        self.reset()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask()) for _ in range(self._streams)]
            tasks.append(group.create_task(self._look()))
            while self._tokens < self._streams or not self._running or not self._waiting[-1]:
                await asyncio.sleep(0.05)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def idle(self) -> None:
        """Wait until the server has nothing more to do."""
        while True:
            health = await self._orchestrator.health()
            if not health.running and not health.waiting:
                return
            await asyncio.sleep(0.05)

    async def _ask(self) -> None:
        while True:
            number = next(self._numbers)
            text = self._texts[number % len(self._texts)][:_QUOTED_CHARS]
            question = f"Explain every step of this runbook at length, for newcomers.\n\n{text}"
            request = ChatRequest(
                messages=(ChatMessage(role="user", content=question),),
                max_tokens=_MAX_TOKENS,
                deadline_s=_DEADLINE_S,
            )
            async with aclosing(self._orchestrator.stream(request)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    self._tokens += bool(chunk.text)

    async def look(self) -> None:
        """Ask the server for its load now; it is done every quarter of a second anyhow."""
        health = await self._orchestrator.health()
        if health.ready:  # else it was too busy to tell
            self._running.append(health.running)
            self._waiting.append(health.waiting)

    async def _look(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)
