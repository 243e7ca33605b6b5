"""Models in memory: loaded when they are first asked for, unloaded when another needs the room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from core.orchestrator.files.manifest import ModelFileError
from core.orchestrator.server.api.replies import ApiError
from core.orchestrator.server.registry.memory import give_back

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Kept(Generic[T]):
    """A model that can be in memory.

    Args:
        measure: the bytes that it needs; blocking.
        load: loads it; blocking.
        resident: never unloaded.
    """

    def __init__(
        self, name: str, measure: Callable[[], int], load: Callable[[], T], *, resident: bool
    ) -> None:
        self.name = name
        self.measure = measure
        self.load = load
        self.resident = resident
        self.value: T | None = None
        self.size = 0
        self.users = 0
        self.used = 0
        self.loading: asyncio.Task[T] | None = None

    @property
    def idle(self) -> bool:
        """Whether it may be unloaded."""
        return self.value is not None and self.users == 0 and not self.resident


class Keeper:
    """Keeps models within a memory budget. For one event loop.

    Args:
        budget: bytes that all models together may take.
        settle: waits until nobody holds a model whose requests are done; blocking.
    """

    def __init__(self, budget: int, settle: Callable[[], None]) -> None:
        self.budget = budget
        self._settle = settle
        self._loaded: list[Kept[Any]] = []
        self._turn = asyncio.Lock()  # one model is loaded at a time, so that the sum is right
        self._uses = 0

    @property
    def used(self) -> int:
        """Bytes that the loaded models take, by estimate."""
        return sum(kept.size for kept in self._loaded)

    @asynccontextmanager
    async def lease(self, kept: Kept[T]) -> AsyncIterator[T]:
        """Load the model where it is not there, and keep it for the time of the context.

        Raises:
            ApiError: it cannot be loaded, or there is no room. The next request tries again.
        """
        kept.users += 1
        try:
            yield await self._value(kept)
        finally:
            kept.users -= 1
            self._uses += 1
            kept.used = self._uses

    async def _value(self, kept: Kept[T]) -> T:
        if kept.value is not None:
            return kept.value
        if kept.loading is None:
            kept.loading = asyncio.create_task(self._load(kept))
            kept.loading.add_done_callback(lambda task: self._loading_ended(kept, task))
        return await asyncio.shield(kept.loading)  # who leaves does not end it for the others

    @staticmethod
    def _loading_ended(kept: Kept[T], task: asyncio.Task[T]) -> None:
        kept.loading = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Model %s cannot be loaded: %s", kept.name, error)

    async def _load(self, kept: Kept[T]) -> T:
        async with self._turn:
            try:
                size = await asyncio.to_thread(kept.measure)
                await self._make_room(kept.name, size)
                value = await asyncio.to_thread(kept.load)
            except ModelFileError as error:
                raise ApiError(503, "model_not_loaded", str(error)) from error
            except (RuntimeError, MemoryError) as error:  # torch: out of memory
                message = f"Model {kept.name} cannot be loaded: {error or 'out of memory'}"
                raise ApiError(503, "model_not_loaded", message) from error
            kept.value, kept.size = value, size
            self._loaded.append(kept)
            return value

    async def _make_room(self, name: str, size: int) -> None:
        over = self.used + size - self.budget
        if over <= 0:
            return
        leaving = []
        for kept in sorted(self._loaded, key=lambda kept: kept.used):
            if over > 0 and kept.idle:
                leaving.append(kept)
                over -= kept.size
        if over > 0:
            raise self._full(name, size)
        for kept in leaving:
            kept.value, kept.size = None, 0
            self._loaded.remove(kept)
            logger.info("Model %s is unloaded to make room for %s.", kept.name, name)
        await asyncio.to_thread(self._settle)
        await asyncio.to_thread(give_back)

    def _full(self, name: str, size: int) -> ApiError:
        others = ", ".join(f"{kept.name} {_mib(kept.size)}" for kept in self._loaded)
        message = (
            f"Model {name} needs {_mib(size)}, and of {_mib(self.budget)} for all models there are "
            f"taken, by those in use or always loaded: {others or 'none'}. Try again when they are "
            "idle, or raise COUNTERSIGN_MODEL_MEMORY."
        )
        return ApiError(503, "model_memory", message, {"Retry-After": "5"})


def _mib(size: int) -> str:
    return f"{-(-size >> 20)} MiB"
