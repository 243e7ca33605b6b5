"""A model server reached over HTTP: ours in a child process, vLLM, or any that speaks OpenAI's API.

Protocol: https://platform.openai.com/docs/api-reference, and for choices vLLM's
`structured_outputs` (https://docs.vllm.ai/en/latest/features/structured_outputs.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Literal, TypeVar

import httpx2
import numpy as np  # noqa: F401 - openai would import it at the first embedding
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import BaseModel, ValidationError

from core.orchestrator.schema import closed_schema
from core.orchestrator.wire import DEADLINE_CODE, DEADLINE_HEADER, ServerLoad
from core.services.ai import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    DeadlineExceededError,
    ModelInfo,
    ModelNotFoundError,
    OrchestratorBusyError,
    OrchestratorError,
    OrchestratorHealth,
    OrchestratorUnavailableError,
    Usage,
)

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=BaseModel)
Capability = Literal["chat", "json", "tools", "embeddings"]

_EMBEDDINGS_A_REQUEST = 256
_EMBEDDING_DEADLINE_S = 120.0
_PROBE_DEADLINE_S = 10.0
_CONNECT_S = 5.0
_KNOWN_CAPABILITIES: frozenset[Capability] = frozenset({"chat", "json", "tools", "embeddings"})


class ServerNotReachedError(OrchestratorUnavailableError):
    """No connection was made, so the request was not seen and may safely be sent again."""


class RemoteAIOrchestrator:
    """An `AIOrchestratorClient` over HTTP. It never retries: the caller knows whether it may.

    Args:
        base_url: up to and with `/v1`.
        token: sent as bearer token.
        chat_model: used where a request names none; None means the first chat model listed.
        embedding_model: used where `embed` is given none; None likewise.
        use_proxy: take proxies from the environment; off for a server on this machine.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        chat_model: str | None = None,
        embedding_model: str | None = None,
        *,
        use_proxy: bool = True,
    ) -> None:
        self._base_url = base_url
        self._chat_model = chat_model
        self._embedding_model = embedding_model
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=token,
            max_retries=0,
            # Deadlines are ours; a redirect would carry the prompt to another server.
            http_client=DefaultAsyncHttpxClient(trust_env=use_proxy, follow_redirects=False),
            timeout=openai.Timeout(None, connect=_CONNECT_S),
        )
        # openai imports its resources at their first use: here rather than under a request, where
        # it would stall the event loop for a tenth of a second.
        self._completions = self._client.chat.completions
        self._embeddings = self._client.embeddings

    async def start(self) -> None:
        """Look whether the server answers; only log where it does not, since it may come yet."""
        health = await self.health()
        if not health.ready:
            logger.warning("The model server %s is not ready: %s", self._base_url, health.detail)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Generate a whole reply; raises `OrchestratorError` or a subclass."""
        return await self._complete(request, {})

    async def choose(self, request: ChatRequest, choices: Sequence[str]) -> str:
        """Let the model choose; raises `OrchestratorError` if the server does not constrain."""
        if not choices:
            raise OrchestratorError("There is nothing to choose from: give at least one choice.")
        longest = max(len(choice.encode()) for choice in choices)  # tokens are at most bytes
        roomy = request.model_copy(update={"max_tokens": min(8192, longest + 1), "stop": ()})
        extra = {"structured_outputs": {"choice": list(choices)}}
        reply = await self._complete(roomy, {"extra_body": extra})
        if reply.text not in choices:
            raise OrchestratorError(
                f"The model server {self._base_url} did not keep to the {len(choices)} choices: "
                "it does not support vLLM's `structured_outputs`. Use a vLLM of 0.12 or later."
            )
        return reply.text

    async def structured(self, request: ChatRequest, schema: type[M]) -> M:
        """Generate JSON of `schema`; raises `OrchestratorError` where the reply is no such JSON."""
        wanted = {"name": schema.__name__, "schema": closed_schema(schema), "strict": True}
        reply = await self._complete(
            request, {"response_format": {"type": "json_schema", "json_schema": wanted}}
        )
        try:
            return schema.model_validate_json(reply.text)
        except ValidationError as error:
            if reply.finish_reason == "length":
                raise OrchestratorError(
                    f"The JSON for {schema.__name__} was not finished within max_tokens="
                    f"{request.max_tokens}: raise it, or bound the strings and lists of the schema."
                ) from error
            raise OrchestratorError(
                f"The model's JSON does not satisfy {schema.__name__}: {_brief(error)}"
            ) from error

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        """Generate a reply piece by piece; the last chunk has the `finish_reason`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.deadline_s
        with self._errors(request.deadline_s):
            async with asyncio.timeout_at(deadline):
                arguments = await self._arguments(request)
                stream = await self._completions.create(**arguments, stream=True)
        async with contextlib.aclosing(stream):
            chunks = aiter(stream)
            while True:
                # The timeout must not span the yield: it would cancel the caller.
                with self._errors(request.deadline_s):
                    async with asyncio.timeout_at(deadline):
                        chunk = await anext(chunks, None)
                if chunk is None:
                    raise OrchestratorUnavailableError(
                        f"The model server {self._base_url} ended the reply before it was finished."
                    )
                for choice in chunk.choices[:1]:
                    reason = _finish_reason(choice.finish_reason)
                    text = choice.delta.content or ""
                    if text or reason:
                        yield ChatChunk(text=text, finish_reason=reason)
                    if reason:
                        return

    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        """Embed texts, a few hundred a request; raises `OrchestratorError` or a subclass."""
        vectors: list[list[float]] = []
        with self._errors(_EMBEDDING_DEADLINE_S):
            async with asyncio.timeout(_EMBEDDING_DEADLINE_S):
                name = model or self._embedding_model or await self._default("embeddings")
                for start in range(0, len(texts), _EMBEDDINGS_A_REQUEST):
                    batch = list(texts[start : start + _EMBEDDINGS_A_REQUEST])
                    reply = await self._embeddings.create(
                        model=name,
                        input=batch,
                        extra_headers={DEADLINE_HEADER: f"{_EMBEDDING_DEADLINE_S:.3f}"},
                    )
                    ordered = sorted(reply.data, key=lambda item: item.index)
                    if len(ordered) != len(batch):
                        raise OrchestratorError(
                            f"The model server {self._base_url} sent {len(ordered)} vectors "
                            f"for {len(batch)} texts."
                        )
                    vectors.extend(item.embedding for item in ordered)
        return vectors

    async def models(self) -> list[ModelInfo]:
        """List the server's models; a server that names no capabilities is taken to chat."""
        with self._errors(_PROBE_DEADLINE_S):
            async with asyncio.timeout(_PROBE_DEADLINE_S):
                page = await self._client.models.list()
        return [
            ModelInfo(name=item.id, capabilities=self._capabilities(item.id, item.model_extra))
            for item in page.data
        ]

    async def health(self) -> OrchestratorHealth:
        """Ask for the list of models, and where the server is ours for its load; never raises."""
        try:
            models = await self.models()
        except OrchestratorError as error:
            return OrchestratorHealth(ready=False, detail=str(error))
        load = await self._load()
        return OrchestratorHealth(
            ready=True,
            detail="models: " + (", ".join(model.name for model in models) or "none"),
            waiting=load.waiting if load else 0,
            running=load.running if load else 0,
        )

    async def _load(self) -> ServerLoad | None:
        """The load that our own server tells; other servers answer `/health` without a body."""
        url = self._base_url.rstrip("/").removesuffix("/v1") + "/health"
        try:
            async with asyncio.timeout(_PROBE_DEADLINE_S):
                body = await self._client.get(url, cast_to=object)
            return ServerLoad.model_validate(body)
        except (openai.OpenAIError, TimeoutError, ValidationError, ValueError):
            return None

    async def _complete(self, request: ChatRequest, extra: dict[str, Any]) -> ChatReply:
        with self._errors(request.deadline_s):
            async with asyncio.timeout(request.deadline_s):
                arguments = await self._arguments(request)
                reply = await self._completions.create(**arguments, **extra)
        if not reply.choices:
            raise OrchestratorError(f"The model server {self._base_url} sent an empty reply.")
        choice = reply.choices[0]
        usage = reply.usage
        return ChatReply(
            text=choice.message.content or "",
            model=reply.model,
            finish_reason=_finish_reason(choice.finish_reason) or "stop",
            usage=Usage(
                prompt_tokens=usage.prompt_tokens if usage else 0,
                completion_tokens=usage.completion_tokens if usage else 0,
            ),
        )

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
        """The first listed model that can do this; remembered."""
        models = await self.models()
        able = [model.name for model in models if capability in model.capabilities]
        if not able:
            known = ", ".join(model.name for model in models) or "none"
            raise ModelNotFoundError(
                f"The model server {self._base_url} lists no {capability} model (it has: {known}). "
                "Name the model in the settings."
            )
        if capability == "embeddings":
            self._embedding_model = able[0]
        else:
            self._chat_model = able[0]
        return able[0]

    def _capabilities(self, name: str, extra: dict[str, Any] | None) -> frozenset[Capability]:
        told = (extra or {}).get("capabilities")
        if isinstance(told, list):
            return frozenset(item for item in _KNOWN_CAPABILITIES if item in told)
        if name == self._embedding_model:
            return frozenset({"embeddings"})
        return frozenset({"chat", "json"})

    @contextlib.contextmanager
    def _errors(self, deadline_s: float) -> Iterator[None]:
        """Turn what the client raises into our exceptions."""
        late = f"The model server {self._base_url} did not finish within {deadline_s:g} s."
        try:
            yield
        except (TimeoutError, openai.APITimeoutError) as error:
            raise DeadlineExceededError(late) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            if isinstance(cause, httpx2.ConnectError):
                raise ServerNotReachedError(
                    f"The model server {self._base_url} cannot be reached: {cause}"
                ) from error
            raise OrchestratorUnavailableError(
                f"The model server {self._base_url} broke off: {str(cause) or type(cause).__name__}"
            ) from error
        except openai.APIStatusError as error:
            raise self._status_error(error) from error
        except openai.APIError as error:
            if error.code == DEADLINE_CODE:
                raise DeadlineExceededError(late) from error
            raise OrchestratorError(
                f"The model server {self._base_url} failed: {error.message}"
            ) from error

    def _status_error(self, error: openai.APIStatusError) -> OrchestratorError:
        message = f"The model server {self._base_url} says: {_server_message(error)}"
        if error.code == DEADLINE_CODE or error.status_code == 504:
            return DeadlineExceededError(message)
        if error.status_code == 429:
            return OrchestratorBusyError(message)
        if error.status_code == 404:
            return ModelNotFoundError(message)
        if error.status_code in (502, 503):
            return OrchestratorUnavailableError(message)
        if error.status_code in (401, 403):
            return OrchestratorError(message + " Check COUNTERSIGN_ORCHESTRATOR_TOKEN.")
        return OrchestratorError(message)


def _finish_reason(reason: str | None) -> Literal["stop", "length"] | None:
    if reason is None:
        return None
    return "length" if reason == "length" else "stop"


def _server_message(error: openai.APIStatusError) -> str:
    """The server's own sentence, cut to a length that fits a log line."""
    if isinstance(error.body, dict) and isinstance(error.body.get("message"), str):
        return str(error.body["message"])[:1000]
    return f"HTTP status {error.status_code}"


def _brief(error: ValidationError) -> str:
    """Where and why, without the model's words."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the whole'}: {first['msg']}"
