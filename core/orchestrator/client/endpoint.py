"""One model server, reached over HTTP: ours, vLLM, or any that speaks OpenAI's API.

Protocol: https://platform.openai.com/docs/api-reference, and for choices and patterns vLLM's
`structured_outputs` (https://docs.vllm.ai/en/latest/features/structured_outputs.html).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import openai
from openai import AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from core.orchestrator.client import adapters, vectors
from core.orchestrator.client.adapters import Adapter
from core.orchestrator.client.faults import BrokenOffError, Faults
from core.orchestrator.client.load import Told, told_load
from core.orchestrator.client.optional_fields import OptionalFields
from core.orchestrator.client.patterns import check_pattern
from core.orchestrator.client.replies import (
    chunk_of,
    finish_reason,
    first_able,
    matching_reply,
    model_info,
    structured_reply,
    unconstrained,
    usage_of,
)
from core.orchestrator.client.schema import closed_schema
from core.orchestrator.wire import DEADLINE_HEADER
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
R = TypeVar("R")

_Started = tuple[AsyncStream[ChatCompletionChunk], ChatCompletionChunk | None]

_PROBE_DEADLINE_S = 10.0
_CONNECT_S = 5.0


class ModelEndpoint:
    """A client of one server. It never retries: the caller knows whether it may.

    Every method raises `OrchestratorError` or a subclass, unless it says otherwise.

    Args:
        base_url: up to and with `/v1`.
        token: sent as bearer token.
        chat_model: used where a request names none; None means the first chat model listed.
        embedding_model: used where `embed` is given none; None likewise.
        use_proxy: take proxies from the environment; off for a server on this machine.
        ours: the server is Countersign's own, which knows more than OpenAI's protocol; found out
            by `load` where it is not said here.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        chat_model: str | None = None,
        embedding_model: str | None = None,
        *,
        use_proxy: bool = True,
        ours: bool = False,
    ) -> None:
        self.base_url = base_url
        self._token = token
        self._chat_model = chat_model
        self._embedding_model = embedding_model
        self._ours = ours
        self._faults = Faults(base_url)
        self._optional = OptionalFields()
        # Deadlines are ours; a redirect would carry the prompt to another server.
        self._http = DefaultAsyncHttpxClient(
            trust_env=use_proxy,
            follow_redirects=False,
            timeout=openai.Timeout(None, connect=_CONNECT_S),
        )
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=token,
            max_retries=0,
            http_client=self._http,
            timeout=openai.Timeout(None, connect=_CONNECT_S),
        )
        # openai imports its resources at their first use: here rather than under a request, where
        # it would stall the event loop for a tenth of a second.
        self._completions = self._client.chat.completions
        _ = self._client.embeddings

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Generate a whole reply."""
        return await self._complete(request, {})

    async def choose(self, request: ChatRequest, choices: Sequence[str]) -> str:
        """Let the model choose; an error where the server does not constrain."""
        if not choices:
            raise OrchestratorError("There is nothing to choose from: give at least one choice.")
        longest = max(len(choice.encode()) for choice in choices)  # tokens are at most bytes
        roomy = request.model_copy(update={"max_tokens": min(8192, longest + 1), "stop": ()})
        reply = await self._complete(roomy, {"structured_outputs": {"choice": list(choices)}})
        if reply.text not in choices:
            raise unconstrained(self.base_url, f"to the {len(choices)} choices")
        return reply.text

    async def regex(self, request: ChatRequest, pattern: str) -> str:
        """Generate text of which the whole matches; an error where the server does not constrain.

        The reply is checked by the module `regex`, whose dialect has all of the server's.
        """
        check_pattern(pattern)
        plain = request.model_copy(update={"stop": ()})
        reply = await self._complete(plain, {"structured_outputs": {"regex": pattern}})
        return matching_reply(reply, pattern, request.max_tokens, self.base_url)

    async def structured(self, request: ChatRequest, schema: type[M]) -> M:
        """Generate JSON of `schema`; an error where the reply is no such JSON."""
        wanted = {"name": schema.__name__, "schema": closed_schema(schema), "strict": True}
        form = {"response_format": {"type": "json_schema", "json_schema": wanted}}
        reply = await self._complete(request, form)
        return structured_reply(reply, schema, request.max_tokens)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        """Generate a reply piece by piece; the last chunk has the `finish_reason`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.deadline_s
        with self._faults.translated(request.deadline_s):
            async with asyncio.timeout_at(deadline):
                arguments = await self._arguments(request)
                stream, chunk = await self._accepted(
                    request.priority,
                    lambda more: self._started(arguments, more),
                    place=self._ours,
                )
        async with contextlib.aclosing(stream):
            while chunk is not None:
                piece = chunk_of(chunk)
                if piece is not None:
                    yield piece
                    if piece.finish_reason:
                        return
                # The timeout must not span the yield: it would cancel the caller.
                with self._faults.translated(request.deadline_s):
                    async with asyncio.timeout_at(deadline):
                        chunk = await anext(stream, None)
        raise BrokenOffError(
            f"The model server {self.base_url} ended the reply before it was finished."
        )

    async def embed(
        self,
        texts: Sequence[str],
        model: str | None = None,
        priority: Priority = "interactive",
    ) -> list[list[float]]:
        """Embed texts, a few hundred a request."""
        with self._faults.translated(vectors.DEADLINE_S):
            async with asyncio.timeout(vectors.DEADLINE_S):
                name = model or self._embedding_model or await self._default("embeddings")
                return await self._accepted(
                    priority,
                    lambda more: vectors.embed(self._client, self.base_url, name, texts, more),
                )

    async def rerank(
        self, query: str, documents: Sequence[str], model: str | None = None
    ) -> list[float]:
        """Score documents by `/v1/rerank`, which vLLM serves for embedding models as well."""
        if not documents:
            return []
        with self._faults.translated(vectors.DEADLINE_S):
            async with asyncio.timeout(vectors.DEADLINE_S):
                name = model or await self._default("rerank")
                return await vectors.rerank(self._client, self.base_url, name, query, documents)

    async def load_adapter(self, name: str, path: str, base_model: str | None = None) -> None:
        """Serve a LoRA adapter, unless it is served from that folder already."""
        with self._faults.translated(_PROBE_DEADLINE_S):
            base = base_model or self._chat_model or await self._default("chat")
        adapter = Adapter(name, path, base)
        await adapters.load(self._client, self.base_url, adapter, ours=self._ours)

    async def unload_adapter(self, name: str) -> None:
        """Serve an adapter no longer, if it is served."""
        await adapters.unload(self._client, self.base_url, name)

    async def models(self) -> list[ModelInfo]:
        """List the server's models; a server that names no capabilities is taken to chat."""
        with self._faults.translated(_PROBE_DEADLINE_S):
            async with asyncio.timeout(_PROBE_DEADLINE_S):
                page = await self._client.models.list()
        return [model_info(item, embeds=item.id == self._embedding_model) for item in page.data]

    async def load(self) -> Told | None:
        """What the server tells of its load; None where it tells nothing.

        Raises:
            OrchestratorUnavailableError: it says that it is not well, or says nothing at all.
        """
        root = self.base_url.rstrip("/").removesuffix("/v1")
        try:
            async with asyncio.timeout(_PROBE_DEADLINE_S):
                told = await told_load(self._http, root, self._token)
        except TimeoutError as error:
            raise OrchestratorUnavailableError(
                f"The model server {self.base_url} did not answer /health within "
                f"{_PROBE_DEADLINE_S:g} s."
            ) from error
        if told is not None:
            self._ours = told.ours
        return told

    async def health(self) -> OrchestratorHealth:
        """Ask for the list of models and the load; never raises."""
        try:
            models = await self.models()
            told = await self.load()
        except OrchestratorError as error:
            return OrchestratorHealth(ready=False, detail=str(error))
        return OrchestratorHealth(
            ready=True,
            detail="models: " + (", ".join(model.name for model in models) or "none"),
            waiting=told.waiting if told else 0,
            running=told.running if told else 0,
        )

    async def _complete(self, request: ChatRequest, extra: dict[str, Any]) -> ChatReply:
        with self._faults.translated(request.deadline_s):
            async with asyncio.timeout(request.deadline_s):
                arguments = await self._arguments(request)
                reply = await self._accepted(
                    request.priority,
                    lambda more: self._completions.create(**arguments, extra_body=extra | more),
                )
        if not reply.choices:
            raise OrchestratorError(f"The model server {self.base_url} sent an empty reply.")
        choice = reply.choices[0]
        return ChatReply(
            text=choice.message.content or "",
            model=reply.model,
            finish_reason=finish_reason(choice.finish_reason) or "stop",
            usage=usage_of(reply.usage),
        )

    async def _started(self, arguments: dict[str, Any], more: dict[str, Any]) -> _Started:
        """A stream and its first chunk: vLLM refuses some requests only there."""
        stream = await self._completions.create(**arguments, stream=True, extra_body=more)
        try:
            return stream, await anext(stream, None)
        except BaseException:
            await stream.close()
            raise

    async def _accepted(
        self,
        priority: Priority,
        send: Callable[[dict[str, Any]], Awaitable[R]],
        *,
        place: bool = False,
    ) -> R:
        """Send with the optional fields, and again without one that the server refuses."""
        while True:
            fields = self._optional.of(priority, place=place)
            try:
                return await send(fields)
            except openai.APIError as error:
                if not self._optional.refused(fields, error):
                    raise

    async def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": request.model or self._chat_model or await self._default("chat"),
            "messages": [message.model_dump() for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "extra_headers": {DEADLINE_HEADER: f"{request.deadline_s:.3f}"},
        }
        if request.stop:
            arguments["stop"] = list(request.stop)
        return arguments

    async def _default(self, capability: Capability) -> str:
        """The first listed model that can do this; remembered for chat and embeddings."""
        models = await self.models()
        name = first_able(models, capability, f"The model server {self.base_url}")
        if capability == "embeddings":
            self._embedding_model = name
        elif capability == "chat":
            self._chat_model = name
        return name
