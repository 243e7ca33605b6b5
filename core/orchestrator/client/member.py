"""One of several model servers: whether it is there, what it serves, how much it has to do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterator, Mapping

from core.orchestrator.client.adapters import Adapter
from core.orchestrator.client.endpoint import ModelEndpoint
from core.orchestrator.client.load import Told
from core.services.ai import ModelInfo, OrchestratorError

logger = logging.getLogger(__name__)

INTERVAL_S = 5.0
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
_JITTER = (0.8, 1.2)  # of a pause: servers that were started together are not asked together

_NEVER = "It was not asked yet."
_NOTHING_TOLD = Told(0, 0, ours=False)


class Member:
    """A server, and what is known of it.

    Args:
        adapters: what every server that has their base model shall serve; it is looked up at each
            `look`, so that a server that was started anew gets them again.
    """

    def __init__(self, endpoint: ModelEndpoint, adapters: Mapping[str, Adapter]) -> None:
        self.endpoint = endpoint
        self.models: tuple[ModelInfo, ...] = ()
        self.fault: str | None = _NEVER
        self.told = _NOTHING_TOLD
        self._adapters = adapters
        self._refused_adapters: set[Adapter] = set()
        self._in_flight = 0
        self._others = 0
        self._looking = asyncio.Lock()
        self._looks = 0
        self._wake = asyncio.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return self.endpoint.base_url

    @property
    def ready(self) -> bool:
        """Whether it answered when it was last asked, and has not failed since."""
        return self.fault is None

    @property
    def asked(self) -> bool:
        """Whether it was asked at all."""
        return self._looks > 0

    @property
    def load(self) -> int:
        """Requests of ours that it has now, and those of others when it was last asked."""
        return self._in_flight + self._others

    def serves(self, model: str) -> bool:
        """Whether it has a model or adapter of that name."""
        return any(known.name == model for known in self.models)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Count a request of ours while it lasts."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def failed(self, error: OrchestratorError) -> None:
        """Send it nothing more until it has answered again; look for that soon."""
        if self.ready:
            logger.warning("A model server failed: %s", error)
            self._wake.set()
        self.fault = str(error)

    def doubted(self) -> None:
        """Ask it soon whether it is well."""
        self._wake.set()

    def lacks(self, model: str) -> None:
        """Take a model from what it is known to serve, and ask again soon."""
        self.models = tuple(known for known in self.models if known.name != model)
        self._wake.set()

    async def look(self) -> None:
        """Ask what it serves and how much it has to do; never raises.

        Who comes while another looks takes what that one finds.
        """
        looks = self._looks
        async with self._looking:
            if self._looks != looks:
                return
            try:
                in_flight = self._in_flight
                told = await self.endpoint.load() or _NOTHING_TOLD
                models = await self._with_adapters(await self.endpoint.models())
            except OrchestratorError as error:
                if self.ready:
                    logger.warning("A model server does not answer: %s", error)
                self.fault = str(error)
            else:
                self.told = told
                self._others = max(0, told.running + told.waiting - in_flight)
                self.models = tuple(models)
                if not self.ready and self.asked:
                    logger.info("The model server %s is back.", self.url)
                self.fault = None
            self._looks += 1

    async def watch(self) -> None:
        """Look again and again: later and later where it does not answer, soon where it failed."""
        backoff = FIRST_BACKOFF_S
        while True:
            pause, backoff = (
                (INTERVAL_S, FIRST_BACKOFF_S)
                if self.ready
                else (backoff, min(backoff * 2, MAX_BACKOFF_S))
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(*_JITTER)):  # noqa: S311
                    await self._wake.wait()
            self._wake.clear()  # before the look: what goes wrong during it is looked at again
            await self.look()

    async def load_adapter(self, adapter: Adapter) -> None:
        """Let it serve an adapter; raises `OrchestratorError` or a subclass."""
        async with self._looking:
            await self.endpoint.load_adapter(*adapter)
            self.models = tuple(await self.endpoint.models())

    async def unload_adapter(self, name: str) -> None:
        """Let it serve an adapter no longer; raises `OrchestratorError` or a subclass."""
        async with self._looking:
            await self.endpoint.unload_adapter(name)
            self.models = tuple(await self.endpoint.models())

    async def _with_adapters(self, models: list[ModelInfo]) -> list[ModelInfo]:
        """Give it the adapters that it lacks; its models then."""
        names = {model.name for model in models}
        lacking = [
            adapter
            for adapter in self._adapters.values()
            if adapter.base_model in names and adapter.name not in names
        ]
        self._refused_adapters &= set(lacking)
        given = False
        for adapter in lacking:
            try:
                await self.endpoint.load_adapter(*adapter)
                given = True
            except OrchestratorError as error:
                if adapter not in self._refused_adapters:
                    logger.warning("%s", error)
                self._refused_adapters.add(adapter)
        return await self.endpoint.models() if given else models
