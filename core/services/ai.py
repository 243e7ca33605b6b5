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
    """

    messages: tuple[ChatMessage, ...] = Field(min_length=1)
    model: str | None = None
    max_tokens: int = Field(default=256, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    stop: tuple[str, ...] = ()
    deadline_s: float = Field(default=120.0, gt=0)


class Usage(_Frozen):
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int


class ChatReply(_Frozen):
    """A finished reply. `finish_reason` is `length` where `max_tokens` cut it short."""

    text: str
    model: str
    finish_reason: Literal["stop", "length"]
    usage: Usage


class ChatChunk(_Frozen):
    """A piece of a streamed reply; `finish_reason` is set on the last one only."""

    text: str
    finish_reason: Literal["stop", "length"] | None = None


class ModelInfo(_Frozen):
    """A model that the server can run now."""

    name: str
    capabilities: frozenset[Literal["chat", "json", "tools", "embeddings"]]


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

    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        """Embed texts: one unit-length vector of the model's dimension for each text."""
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
