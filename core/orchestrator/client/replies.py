"""What a model server's replies say, as our records. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args

from openai.types import Model
from openai.types.chat import ChatCompletionChunk
from openai.types.completion_usage import CompletionUsage
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.orchestrator.client.patterns import keeps_to
from core.services.ai import (
    Capability,
    ChatChunk,
    ChatReply,
    ModelInfo,
    ModelNotFoundError,
    OrchestratorError,
    Usage,
)

M = TypeVar("M", bound=BaseModel)

_CAPABILITIES: tuple[Capability, ...] = get_args(Capability)


class _Score(BaseModel):
    index: int = Field(ge=0)
    relevance_score: float


class _Ranking(BaseModel):
    """Body of a reply of `/v1/rerank`, as Jina, Cohere and vLLM have it."""

    model_config = ConfigDict(extra="ignore")

    results: tuple[_Score, ...]


class _Queue(BaseModel):
    """Our server's extra field of a chunk."""

    place: int = Field(ge=1)


def chunk_of(chunk: ChatCompletionChunk) -> ChatChunk | None:
    """A piece of a stream; None where it says nothing to us, such as the role alone."""
    for choice in chunk.choices[:1]:
        reason = finish_reason(choice.finish_reason)
        text = choice.delta.content or ""
        if text or reason:
            return ChatChunk(text=text, finish_reason=reason)
    try:
        waiting = _Queue.model_validate((chunk.model_extra or {}).get("queue"))
    except ValidationError:
        return None
    return ChatChunk(text="", place=waiting.place)


def finish_reason(reason: str | None) -> Literal["stop", "length"] | None:
    """Why a reply ended; None while it goes on."""
    if reason is None:
        return None
    return "length" if reason == "length" else "stop"


def usage_of(usage: CompletionUsage | None) -> Usage:
    """Token counts; zeros where the server gives none."""
    if usage is None:
        return Usage(prompt_tokens=0, completion_tokens=0)
    details = usage.prompt_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
    )


def model_info(item: Model, *, embeds: bool) -> ModelInfo:
    """A listed model; `embeds` is what is taken where its entry does not say what it can do."""
    extra: dict[str, Any] = item.model_extra or {}
    told, parent = extra.get("capabilities"), extra.get("parent")
    if isinstance(told, list):
        able = frozenset(known for known in _CAPABILITIES if known in told)
    else:
        able = frozenset({"embeddings"}) if embeds else frozenset({"chat", "json"})
    return ModelInfo(
        name=item.id, capabilities=able, parent=parent if isinstance(parent, str) else None
    )


def first_able(models: Sequence[ModelInfo], capability: Capability, who: str) -> str:
    """The first model that can do this; where none reranks, the first that embeds.

    Raises:
        ModelNotFoundError: there is none; the message lists those that there are.
    """
    able = [model.name for model in models if capability in model.capabilities]
    if not able and capability == "rerank":
        able = [model.name for model in models if "embeddings" in model.capabilities]
    if able:
        return able[0]
    known = ", ".join(model.name for model in models) or "none"
    raise ModelNotFoundError(
        f"{who} lists no {capability} model (it has: {known}). Name the model in the settings."
    )


def relevance(body: object, count: int, server: str) -> list[float]:
    """The scores of `count` documents, in the documents' order.

    Raises:
        OrchestratorError: the reply has not exactly one finite score for each.
    """
    try:
        ranking = _Ranking.model_validate(body)
    except ValidationError as error:
        raise OrchestratorError(
            f"The model server {server} sent no ranking: {brief(error)}"
        ) from error
    scores = {item.index: item.relevance_score for item in ranking.results}
    complete = scores.keys() == set(range(count)) and len(ranking.results) == count
    if not complete or not all(math.isfinite(score) for score in scores.values()):
        raise OrchestratorError(
            f"The model server {server} sent {len(ranking.results)} scores for {count} documents."
        )
    return [scores[index] for index in range(count)]


def structured_reply(reply: ChatReply, schema: type[M], max_tokens: int) -> M:
    """The reply as `schema`.

    Raises:
        OrchestratorError: it is no such JSON.
    """
    try:
        return schema.model_validate_json(reply.text)
    except ValidationError as error:
        if reply.finish_reason == "length":
            raise OrchestratorError(
                f"The JSON for {schema.__name__} was not finished within max_tokens="
                f"{max_tokens}: raise it, or bound the strings and lists of the schema."
            ) from error
        raise OrchestratorError(
            f"The model's JSON does not satisfy {schema.__name__}: {brief(error)}"
        ) from error


def matching_reply(reply: ChatReply, pattern: str, max_tokens: int, server: str) -> str:
    """The reply's text.

    Raises:
        OrchestratorError: the pattern does not match the whole of it.
    """
    if keeps_to(pattern, reply.text):
        return reply.text
    if reply.finish_reason == "length":
        raise OrchestratorError(
            f"The text for the pattern {pattern!r} was not finished within max_tokens="
            f"{max_tokens}: raise it, or bound the pattern's repetitions."
        )
    raise unconstrained(server, f"to the pattern {pattern!r}")


def unconstrained(server: str, to: str) -> OrchestratorError:
    """The error where a server ignored a constraint."""
    return OrchestratorError(
        f"The model server {server} did not keep {to}: it does not support vLLM's "
        "`structured_outputs`. Use a vLLM of 0.12 or later."
    )


def brief(error: ValidationError) -> str:
    """Where and why, without the model's words."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the whole'}: {first['msg']}"
