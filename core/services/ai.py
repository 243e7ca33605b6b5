"""What the rest of Countersign knows about models: requests, replies and the client protocol.

`LocalAIOrchestrator` (torch on this machine) and `RemoteAIOrchestrator` (any OpenAI-compatible
server of the team's own) both implement `AIOrchestratorClient`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from core.errors import CountersignError

M = TypeVar("M", bound=BaseModel)

Priority = Literal["interactive", "background"]
"""Whether a person waits for the reply."""

Capability = Literal["chat", "json", "tools", "embeddings", "rerank"]
"""What a model can do."""


class OrchestratorError(CountersignError):
    """The model server could not answer; the message says why and what to do."""


class OrchestratorBusyError(OrchestratorError):
    """The queue of the model server is full: try again in a moment, or raise the queue limit."""


class OrchestratorUnavailableError(OrchestratorError):
    """The model server is not reachable or is being restarted."""


class DeadlineExceededError(OrchestratorError):
    """The request did not finish within its deadline and was cancelled."""


class ModelNotFoundError(OrchestratorError):
    """The model server has no model of that name; the message lists those it has."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChatMessage(_Frozen):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(_Frozen):
    """A request for generated text.

    Attributes:
        model: name of the model; None means the server's default chat model.
        max_tokens: upper bound of generated tokens.
        temperature: 0 is greedy decoding.
        deadline_s: seconds from now in which the whole reply must be finished.
        priority: `background` where no person waits; servers that know priorities take it later.
    """

    messages: tuple[ChatMessage, ...] = Field(min_length=1)
    model: str | None = None
    max_tokens: int = Field(default=256, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    stop: tuple[str, ...] = ()
    deadline_s: float = Field(default=120.0, gt=0)
    priority: Priority = "interactive"


class Usage(_Frozen):
    """Token counts of one request. `cached_tokens` of the prompt had been computed before."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


class ChatReply(_Frozen):
    """A finished reply. `finish_reason` is `length` where `max_tokens` cut it short."""

    text: str
    model: str
    finish_reason: Literal["stop", "length"]
    usage: Usage


class ChatChunk(_Frozen):
    """A piece of a streamed reply; `finish_reason` is set on the last one only.

    `place` says that the request waits, and how far from its turn (1 is next); the text is empty
    then. Not every server tells it.
    """

    text: str
    finish_reason: Literal["stop", "length"] | None = None
    place: int | None = None


class ModelInfo(_Frozen):
    """A model that the server can run now. `parent` is the base model of an adapter."""

    name: str
    capabilities: frozenset[Capability]
    parent: str | None = None


class OrchestratorHealth(_Frozen):
    """State of the model server. `waiting` and `running` count requests."""

    ready: bool
    detail: str
    waiting: int = 0
    running: int = 0
    restarts: int = 0


@runtime_checkable
class AIOrchestratorClient(Protocol):
    """Turns requests into model output. Every method raises `OrchestratorError` or a subclass."""

    async def chat(self, request: ChatRequest) -> ChatReply:
        """Generate a whole reply."""
        ...

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Generate a reply piece by piece; closing the iterator cancels the generation."""
        ...

    async def choose(self, request: ChatRequest, choices: Sequence[str]) -> str:
        """Constrained decoding: the reply is exactly one of `choices` (at least one)."""
        ...

    async def structured(self, request: ChatRequest, schema: type[M]) -> M:
        """Constrained decoding: the reply is JSON that satisfies `schema`."""
        ...

    async def regex(self, request: ChatRequest, pattern: str) -> str:
        """Constrained decoding: the whole reply matches the regular expression `pattern`."""
        ...

    async def embed(
        self,
        texts: Sequence[str],
        model: str | None = None,
        priority: Priority = "interactive",
    ) -> list[list[float]]:
        """Embed texts: one unit-length vector of the model's dimension for each text."""
        ...

    async def rerank(
        self, query: str, documents: Sequence[str], model: str | None = None
    ) -> list[float]:
        """Say how well each document answers the query, in their order; higher is better."""
        ...

    async def load_adapter(self, name: str, path: str, base_model: str | None = None) -> None:
        """Serve a LoRA adapter under `name`, which requests give as their model.

        Args:
            path: folder of the adapter (PEFT's layout), as the server sees it.
            base_model: the model it was trained on; None means the default chat model.
        """
        ...

    async def unload_adapter(self, name: str) -> None:
        """Serve an adapter no longer; nothing happens where it is not served."""
        ...

    async def models(self) -> list[ModelInfo]:
        """List the models that can run now."""
        ...

    async def health(self) -> OrchestratorHealth:
        """Say whether requests can be answered; never raises."""
        ...

    async def start(self) -> None:
        """Open what the client needs; for a local server, start and supervise it."""
        ...

    async def close(self) -> None:
        """Stop everything that `start` opened."""
        ...
