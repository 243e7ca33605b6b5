"""The models on this machine: a supervised model server in a child process.

The child is an ordinary OpenAI-compatible server, so all requests go through a
`ModelEndpoint`; here is only its life: start, readiness, restart with backoff, end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from pydantic import BaseModel, SecretStr

from core.orchestrator.child import ModelServerProcess
from core.orchestrator.client.deadline import Deadline
from core.orchestrator.client.endpoint import ModelEndpoint
from core.orchestrator.client.faults import BrokenOffError, ServerNotReachedError
from core.orchestrator.files import catalog
from core.orchestrator.files.source import ModelKind
from core.orchestrator.wire import Device, Precision, ServedModel, ServerConfig
from core.services.ai import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    ModelInfo,
    OrchestratorError,
    OrchestratorHealth,
    OrchestratorUnavailableError,
    Priority,
)

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_READY_S = 180.0
_FIRST_BACKOFF_S = 0.2
_MAX_BACKOFF_S = 30.0
_STABLE_S = 60.0  # a server that lived this long starts with the first backoff again
_WAIT_WITHOUT_DEADLINE_S = 60.0
_NOTICE_S = 2.0


def _served(
    folder: Path, chat: str | None, embeddings: str | None, others: Mapping[str, ModelKind]
) -> tuple[ServedModel, ...]:
    """The default models first, which are resident."""
    defaults: dict[str, ModelKind] = {}
    if chat:
        defaults[chat] = "chat"
    if embeddings:
        defaults[embeddings] = "embeddings"
    return tuple(
        ServedModel(folder=folder / name, kind=kind, resident=name in defaults)
        for name, kind in {**defaults, **others}.items()
    )


class LocalAIOrchestrator:
    """An `AIOrchestratorClient` over a model server of our own.

    Where the server dies, replies that somebody has begun to read end with
    `OrchestratorUnavailableError` at once. Other requests are sent again, once, to the server that
    is started in its place, and later ones wait for it until their deadline.

    Args:
        models_dir: folder that `countersign models pull` fills.
        chat_model: name of the default chat model, always loaded; None runs none.
        embedding_model: name of the default embedding model, always loaded; None runs none.
        others: kinds of more models, by name, which are loaded when they are asked for.
        memory: bytes that all models together may take; None means half of what there is.
        adapters_dir: folder below which LoRA adapters lie that may be loaded; None allows none.
        threads: torch's threads; 0 means one for each core but one, and at least one.
        queue_limit: requests that may wait in the server.
        precision: of the chat models' weights.
        device: where the models run.
        port: where the server listens on loopback; 0 lets the system choose.
        token: bearer token of every request, at least 16 characters; None makes up one.
    """

    def __init__(
        self,
        models_dir: Path,
        chat_model: str | None = catalog.DEFAULT_CHAT_MODEL,
        embedding_model: str | None = catalog.DEFAULT_EMBEDDING_MODEL,
        threads: int = 0,
        queue_limit: int = 64,
        precision: Precision = "int4",
        device: Device = "auto",
        others: Mapping[str, ModelKind] = MappingProxyType({}),
        memory: int | None = None,
        adapters_dir: Path | None = None,
        port: int = 0,
        token: str | None = None,
    ) -> None:
        self._chat_model = chat_model
        self._embedding_model = embedding_model
        self._config = ServerConfig(
            token=SecretStr(token or secrets.token_urlsafe(32)),
            port=port,
            models=_served(models_dir.absolute(), chat_model, embedding_model, others),
            memory=memory,
            adapters=adapters_dir.absolute() if adapters_dir else None,
            threads=threads,
            queue_limit=queue_limit,
            precision=precision,
            device=device,
        )
        self._adapters: dict[str, tuple[str, str | None]] = {}
        self._changed = asyncio.Condition()
        self._client: ModelEndpoint | None = None
        self._child: ModelServerProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._restarts = 0
        self._detail = "The model server was not started: call `start` first."

    @property
    def server_pid(self) -> int | None:
        """Process id of the model server that runs now."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start the server and wait until its models are loaded.

        Raises:
            OrchestratorError: a model is not installed or its files are altered.
            OrchestratorUnavailableError: the server did not come up.
        """
        if self._supervisor is not None:
            return
        try:
            child, client = await self._launch()
        except OrchestratorError as error:
            self._detail = str(error)
            raise
        self._supervisor = asyncio.create_task(self._supervise(child, client))
        await self._set_client(client, "ready")

    async def close(self) -> None:
        """Stop the server; requests in flight end with `OrchestratorUnavailableError`."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        await self._set_client(None, "The model server was stopped.")

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Generate a whole reply; raises `OrchestratorError` or a subclass."""
        return await self._generated(request, lambda client, rest: client.chat(rest))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        """Generate a reply piece by piece; closing the iterator cancels the generation."""
        deadline = Deadline(request.deadline_s)
        begun = broken = False
        while True:
            client = await self._wait_for_client(deadline)
            try:
                rest = deadline.bound(request)
                async with contextlib.aclosing(client.stream(rest)) as chunks:
                    async for chunk in chunks:
                        begun = begun or chunk.place is None
                        yield chunk
            except ServerNotReachedError as error:
                await self._wait_for_another(client, error)
            except BrokenOffError as error:
                if begun or broken:
                    raise
                broken = True
                await self._wait_for_another(client, error)
            else:
                return

    async def choose(self, request: ChatRequest, choices: Sequence[str]) -> str:
        """Let the model choose one of `choices`; raises `OrchestratorError` or a subclass."""
        return await self._generated(request, lambda client, rest: client.choose(rest, choices))

    async def structured(self, request: ChatRequest, schema: type[M]) -> M:
        """Generate JSON of `schema`; raises `OrchestratorError` or a subclass."""
        return await self._generated(request, lambda client, rest: client.structured(rest, schema))

    async def regex(self, request: ChatRequest, pattern: str) -> str:
        """Generate text that matches; raises `OrchestratorError` or a subclass."""
        return await self._generated(request, lambda client, rest: client.regex(rest, pattern))

    async def embed(
        self,
        texts: Sequence[str],
        model: str | None = None,
        priority: Priority = "interactive",
    ) -> list[list[float]]:
        """Embed texts; raises `OrchestratorError` or a subclass."""
        return await self._delegate(_wait(), lambda client: client.embed(texts, model, priority))

    async def rerank(
        self, query: str, documents: Sequence[str], model: str | None = None
    ) -> list[float]:
        """Score documents; raises `OrchestratorError` or a subclass."""
        return await self._delegate(_wait(), lambda client: client.rerank(query, documents, model))

    async def load_adapter(self, name: str, path: str, base_model: str | None = None) -> None:
        """Serve a LoRA adapter, also after a restart; raises `OrchestratorError` or a subclass."""
        await self._delegate(_wait(), lambda client: client.load_adapter(name, path, base_model))
        self._adapters[name] = (path, base_model)

    async def unload_adapter(self, name: str) -> None:
        """Serve an adapter no longer; raises `OrchestratorError` or a subclass."""
        self._adapters.pop(name, None)
        await self._delegate(_wait(), lambda client: client.unload_adapter(name))

    async def models(self) -> list[ModelInfo]:
        """List the models that can run; raises `OrchestratorError` or a subclass."""
        return await self._delegate(_wait(), lambda client: client.models())

    async def health(self) -> OrchestratorHealth:
        """Say whether the server answers and how often it was restarted; never raises."""
        client = self._client
        if client is None:
            return OrchestratorHealth(ready=False, detail=self._detail, restarts=self._restarts)
        health = await client.health()
        return health.model_copy(update={"restarts": self._restarts})

    async def _generated(
        self,
        request: ChatRequest,
        send: Callable[[ModelEndpoint, ChatRequest], Awaitable[T]],
    ) -> T:
        """Send a request with the seconds that are left."""
        deadline = Deadline(request.deadline_s)
        return await self._delegate(deadline, lambda client: send(client, deadline.bound(request)))

    async def _delegate(
        self, deadline: Deadline, call: Callable[[ModelEndpoint], Awaitable[T]]
    ) -> T:
        """Call the server that runs now, or the next one where this one is gone."""
        broken = False
        while True:
            client = await self._wait_for_client(deadline)
            try:
                return await call(client)
            except ServerNotReachedError as error:
                await self._wait_for_another(client, error)
            except BrokenOffError as error:
                # Once: it may be this request that the server dies of.
                if broken:
                    raise
                broken = True
                await self._wait_for_another(client, error)

    async def _wait_for_another(
        self, client: ModelEndpoint, error: OrchestratorUnavailableError
    ) -> None:
        """A dead server breaks off a moment before its end is known: await that."""
        try:
            async with asyncio.timeout(_NOTICE_S), self._changed:
                await self._changed.wait_for(lambda: self._client is not client)
        except TimeoutError:
            raise error from None

    async def _wait_for_client(self, deadline: Deadline) -> ModelEndpoint:
        if self._client is not None:
            return self._client
        try:
            async with asyncio.timeout(deadline.left), self._changed:
                await self._changed.wait_for(
                    lambda: self._client is not None or self._supervisor is None
                )
        except TimeoutError as error:
            raise OrchestratorUnavailableError(
                f"The model server did not come back in time: {self._detail}"
            ) from error
        if self._client is None:
            raise OrchestratorUnavailableError(self._detail)
        return self._client

    async def _set_client(self, client: ModelEndpoint | None, detail: str) -> None:
        async with self._changed:
            self._client = client
            self._detail = detail
            self._changed.notify_all()

    async def _launch(self) -> tuple[ModelServerProcess, ModelEndpoint]:
        child = await ModelServerProcess.spawn(self._config)
        try:
            base_url = await child.ready(_READY_S)
        except BaseException:
            await child.stop()
            raise
        self._child = child
        client = ModelEndpoint(
            base_url,
            self._config.token.get_secret_value(),
            self._chat_model,
            self._embedding_model,
            use_proxy=False,
            ours=True,
        )
        for name, (path, base_model) in self._adapters.items():
            try:
                await client.load_adapter(name, path, base_model)
            except OrchestratorError as error:
                logger.warning("An adapter is not served any more: %s", error)
        return child, client

    async def _supervise(self, child: ModelServerProcess, client: ModelEndpoint) -> None:
        """Start the server again whenever it ends, later and later where it ends soon."""
        loop = asyncio.get_running_loop()
        backoff = _FIRST_BACKOFF_S
        while True:
            born = loop.time()
            try:
                status = await child.wait()
                self._child = None
                detail = f"The model server ended with status {status} and is started again."
                logger.error(detail)
                await self._set_client(None, detail)
            finally:
                if self._child is not None:
                    self._child = None
                    await child.stop()
                await client.close()
            if loop.time() - born > _STABLE_S:
                backoff = _FIRST_BACKOFF_S
            child, client = await self._relaunch(backoff)
            backoff = min(backoff * 2, _MAX_BACKOFF_S)
            await self._set_client(client, "ready")

    async def _relaunch(self, backoff: float) -> tuple[ModelServerProcess, ModelEndpoint]:
        while True:
            await asyncio.sleep(backoff)
            self._restarts += 1
            try:
                return await self._launch()
            except OrchestratorError as error:
                logger.error("The model server cannot be started: %s", error)  # noqa: TRY400
                self._detail = str(error)
                backoff = min(backoff * 2, _MAX_BACKOFF_S)


def _wait() -> Deadline:
    """For how long a request without a deadline waits for a restart."""
    return Deadline(_WAIT_WITHOUT_DEADLINE_S)
