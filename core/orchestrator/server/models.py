"""The models that the server has, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from core.orchestrator.server.batch import ChatBatch
from core.orchestrator.server.chat_model import ChatModel
from core.orchestrator.server.embedding_model import EmbeddingModel
from core.orchestrator.server.jobs import EmbeddingTurns
from core.orchestrator.server.replies import ApiError, model_entry


class ServedChat(NamedTuple):
    """A chat model, and what advances its replies together."""

    model: ChatModel
    batch: ChatBatch


class ServedEmbeddings(NamedTuple):
    """An embedding model, and what gives its requests their turns."""

    model: EmbeddingModel
    batch: EmbeddingTurns


class Models:
    """What requests find their model in. A model is kept while it is in use."""

    def __init__(self, chat: ChatModel | None, embedder: EmbeddingModel | None) -> None:
        self._chat = ServedChat(chat, ChatBatch(chat.decoder)) if chat else None
        self._embedder = ServedEmbeddings(embedder, EmbeddingTurns()) if embedder else None

    @asynccontextmanager
    async def chat(self, name: str) -> AsyncIterator[ServedChat]:
        """The chat model called `name`; raises `ApiError` where there is none."""
        if self._chat is None or self._chat.model.name != name:
            raise _not_found(name, "chat", self._chat.model.name if self._chat else None)
        yield self._chat

    @asynccontextmanager
    async def embedder(self, name: str) -> AsyncIterator[ServedEmbeddings]:
        """The embedding model called `name`; raises `ApiError` where there is none."""
        served = self._embedder
        if served is None or served.model.name != name:
            raise _not_found(name, "embeddings", served.model.name if served else None)
        yield served

    def entries(self) -> list[dict[str, Any]]:
        """The list of models, as OpenAI's API gives it."""
        data = []
        if self._chat:
            data.append(model_entry(self._chat.model.name, ["chat", "json"]))
        if self._embedder:
            data.append(model_entry(self._embedder.model.name, ["embeddings"]))
        return data


def _not_found(asked: str, kind: str, there: str | None) -> ApiError:
    known = f"There is: {there}." if there else "There is none."
    message = f"There is no {kind} model called {asked!r}. {known}"
    return ApiError(404, "model_not_found", message)
