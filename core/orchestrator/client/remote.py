"""The model servers of the team: one, or several that share the work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from core.orchestrator.client.adapters import Adapter
from core.orchestrator.client.deadline import Deadline
from core.orchestrator.client.endpoint import ModelEndpoint
from core.orchestrator.client.member import Member
from core.orchestrator.client.pool import addresses, prefix_key
from core.orchestrator.client.replies import first_able
from core.orchestrator.client.tries import ELSEWHERE, Tries, look, missing_model
from core.orchestrator.client.vectors import DEADLINE_S as VECTORS_S
from core.services.ai import (
    Capability,
    ChatChunk,
    ChatReply,
    ChatRequest,
    ModelInfo,
    OrchestratorError,
    OrchestratorHealth,
    OrchestratorUnavailableError,
    Priority,
)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

logger = logging.getLogger(__name__)

_ASK_S = 10.0


class RemoteAIOrchestrator:
    """An `AIOrchestratorClient` over HTTP.

    A request goes to a server that has its model: the one that knows the request's beginning, or
    the one with the least to do (see `pool`). Before the caller has read anything of a reply,
    another server may be tried (see `tries`). Between `start` and `close` each server is asked
    every few seconds whether it is there.

    Args:
        urls: addresses, each up to and with `/v1`, separated by commas.
        token: sent to each as bearer token.
        chat_model: used where a request names none; None means the first chat model listed.
        embedding_model: used where `embed` is given none; None likewise.
        use_proxy: take proxies from the environment; off for servers on this machine.

    Raises:
        ConfigurationError: an address is none.
    """

    def __init__(
        self,
        urls: str,
        token: str,
        chat_model: str | None = None,
        embedding_model: str | None = None,
        *,
        use_proxy: bool = True,
    ) -> None:
        self._defaults: dict[Capability, str] = {}
        if chat_model is not None:
            self._defaults["chat"] = chat_model
        if embedding_model is not None:
            self._defaults["embeddings"] = embedding_model
        self._adapters: dict[str, Adapter] = {}
        self._members = [
            Member(
                ModelEndpoint(url, token, chat_model, embedding_model, use_proxy=use_proxy),
                self._adapters,
            )
            for url in addresses(urls)
        ]
        self._watching: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Look which servers answer, and go on looking: one that does not may come yet."""
        if self._watching:
            return
        await look(self._members, Deadline(_ASK_S))
        for member in self._members:
            if not member.ready:
                logger.warning("The model server %s is not ready: %s", member.url, member.fault)
            self._watching.append(asyncio.create_task(member.watch()))

    async def close(self) -> None:
        """End the looking and close the connections."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching.clear()
        for member in self._members:
            await member.endpoint.close()

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Generate a whole reply; raises `OrchestratorError` or a subclass."""
        return await self._generated(request, lambda server, rest: server.chat(rest))

    async def choose(self, request: ChatRequest, choices: Sequence[str]) -> str:
        """Let the model choose; raises `OrchestratorError` if the server does not constrain."""
        return await self._generated(request, lambda server, rest: server.choose(rest, choices))

    async def regex(self, request: ChatRequest, pattern: str) -> str:
        """Generate text that matches; raises as `choose`."""
        return await self._generated(request, lambda server, rest: server.regex(rest, pattern))

    async def structured(self, request: ChatRequest, schema: type[M]) -> M:
        """Generate JSON of `schema`; raises `OrchestratorError` where the reply is no such JSON."""
        return await self._generated(request, lambda server, rest: server.structured(rest, schema))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        """Generate a reply piece by piece; the last chunk has the `finish_reason`."""
        deadline = Deadline(request.deadline_s)
        request, tries = await self._tries_of(request, deadline)
        while True:
            member = await tries.next()
            begun = False
            try:
                rest = deadline.bound(request)
                with member.serving():
                    async with contextlib.aclosing(member.endpoint.stream(rest)) as chunks:
                        async for chunk in chunks:
                            begun = begun or chunk.place is None
                            yield chunk
            except ELSEWHERE as error:
                tries.failed(member, error)
                if begun:
                    raise
            else:
                return

    async def embed(
        self,
        texts: Sequence[str],
        model: str | None = None,
        priority: Priority = "interactive",
    ) -> list[list[float]]:
        """Embed texts; raises `OrchestratorError` or a subclass."""
        if not texts:
            return []
        return await self._for_texts(
            "embeddings", model, texts[0], lambda server, name: server.embed(texts, name, priority)
        )

    async def rerank(
        self, query: str, documents: Sequence[str], model: str | None = None
    ) -> list[float]:
        """Score documents; raises `OrchestratorError` or a subclass."""
        if not documents:
            return []
        return await self._for_texts(
            "rerank", model, query, lambda server, name: server.rerank(query, documents, name)
        )

    async def load_adapter(self, name: str, path: str, base_model: str | None = None) -> None:
        """Serve a LoRA adapter on all servers that have the base model, now and when they are back.

        Raises:
            OrchestratorError: a server refuses it; none serves it then.
            OrchestratorUnavailableError: no server that has the base model answers.
        """
        base = base_model or await self._default("chat", Deadline(_ASK_S))
        adapter = Adapter(name, path, base)
        await self._know(Deadline(_ASK_S))
        holders = [member for member in self._members if member.ready and member.serves(base)]
        if not holders:
            raise missing_model(self._members, base)
        without = [member for member in holders if not member.serves(name)]
        errors = await _each(holders, lambda member: member.load_adapter(adapter))
        if refused := [e for e in errors if not isinstance(e, OrchestratorUnavailableError)]:
            await _each(without, lambda member: member.unload_adapter(name))
            raise refused[0]
        if len(errors) == len(holders):
            raise errors[0]
        self._adapters[name] = adapter

    async def unload_adapter(self, name: str) -> None:
        """Serve an adapter no longer; raises `OrchestratorError` where a server keeps it."""
        self._adapters.pop(name, None)
        await self._know(Deadline(_ASK_S))
        holders = [member for member in self._members if member.ready and member.serves(name)]
        if errors := await _each(holders, lambda member: member.unload_adapter(name)):
            raise errors[0]

    async def models(self) -> list[ModelInfo]:
        """List what the servers that answer have, the default chat model first.

        Raises:
            OrchestratorUnavailableError: none answers.
        """
        await self._know(Deadline(_ASK_S))
        if not any(member.ready for member in self._members):
            await look(self._members, Deadline(_ASK_S))
        return self._listed()

    async def health(self) -> OrchestratorHealth:
        """Say which servers are ready, and how much they have to do; never raises."""
        await self._know(Deadline(_ASK_S))
        ready = [member for member in self._members if member.ready]
        try:
            detail = "models: " + (", ".join(model.name for model in self._listed()) or "none")
        except OrchestratorError as error:
            detail = str(error)
        if len(self._members) > 1:
            faults = "".join(f"; {m.url}: {m.fault}" for m in self._members if not m.ready)
            has = f" ({detail})" if ready else ""
            detail = f"{len(ready)} of {len(self._members)} ready{has}{faults}"
        return OrchestratorHealth(
            ready=bool(ready),
            detail=detail,
            waiting=sum(member.told.waiting for member in ready),
            running=sum(member.told.running for member in ready),
        )

    def _listed(self) -> list[ModelInfo]:
        found: dict[str, ModelInfo] = {}
        ready = [member for member in self._members if member.ready]
        if not ready:
            raise OrchestratorUnavailableError(" ".join(str(m.fault) for m in self._members))
        for member in ready:
            for model in member.models:
                found.setdefault(model.name, model)
        first = self._defaults.get("chat")
        return sorted(found.values(), key=lambda model: model.name != first)

    async def _know(self, deadline: Deadline) -> None:
        """Ask the servers where nobody else does: before `start`, and the first time."""
        unknown = [m for m in self._members if not (self._watching and m.asked)]
        await look(unknown, deadline)

    async def _default(self, capability: Capability, deadline: Deadline) -> str:
        if name := self._defaults.get(capability):
            return name
        await look([member for member in self._members if not member.asked], deadline)
        if not any(member.ready for member in self._members):
            await look(self._members, deadline)
        if capability == "rerank" and "embeddings" in self._defaults:
            able = [m for m in self._listed() if "rerank" in m.capabilities]
            return able[0].name if able else self._defaults["embeddings"]
        who = "The model server" if len(self._members) == 1 else "None of the model servers"
        return first_able(self._listed(), capability, who)

    async def _tries_of(
        self, request: ChatRequest, deadline: Deadline
    ) -> tuple[ChatRequest, Tries]:
        """The request with its model's name, and where it may go."""
        model = request.model or await self._default("chat", deadline)
        tries = await self._tries(model, prefix_key(model, request.messages), deadline)
        return request.model_copy(update={"model": model}), tries

    async def _tries(self, model: str, key: str, deadline: Deadline) -> Tries:
        await look([member for member in self._members if not member.asked], deadline)
        return Tries(self._members, model, key, deadline)

    async def _generated(
        self,
        request: ChatRequest,
        send: Callable[[ModelEndpoint, ChatRequest], Awaitable[T]],
    ) -> T:
        deadline = Deadline(request.deadline_s)
        request, tries = await self._tries_of(request, deadline)
        return await tries.run(lambda server: send(server, deadline.bound(request)))

    async def _for_texts(
        self,
        capability: Capability,
        model: str | None,
        key: str,
        send: Callable[[ModelEndpoint, str], Awaitable[T]],
    ) -> T:
        """Servers keep the vectors of texts, so the same texts go to the same server."""
        deadline = Deadline(VECTORS_S)
        name = model or await self._default(capability, deadline)
        tries = await self._tries(name, f"{name}\n{key}", deadline)
        return await tries.run(lambda server: send(server, name))


async def _each(
    members: Sequence[Member], do: Callable[[Member], Awaitable[None]]
) -> list[OrchestratorError]:
    """Do something with each server; what went wrong, unavailable ones marked."""

    async def one(member: Member) -> OrchestratorError | None:
        try:
            await do(member)
        except OrchestratorUnavailableError as error:
            member.failed(error)
            return error
        except OrchestratorError as error:
            return error
        return None

    results = await asyncio.gather(*(one(member) for member in members))
    return [error for error in results if error is not None]
