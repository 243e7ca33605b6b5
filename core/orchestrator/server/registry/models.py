"""The models that the server has, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from core.orchestrator.files.manifest import MANIFEST_NAME
from core.orchestrator.server.api.replies import ApiError, model_entry
from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.engine.encoding import EncodingTurns
from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.embedding_model import EmbeddingModel
from core.orchestrator.server.models.lora import Adapter
from core.orchestrator.server.models.rerank_model import Pair, RerankModel
from core.orchestrator.server.registry.adapters import Adapters
from core.orchestrator.server.registry.keeper import Keeper, Kept
from core.orchestrator.server.registry.memory import estimate
from core.orchestrator.wire import Precision, ServedModel


class ServedChat(NamedTuple):
    """A chat model, what advances its replies together, and the adapter that was asked for."""

    model: ChatModel
    batch: ChatBatch
    adapter: Adapter | None = None


class ServedEmbeddings(NamedTuple):
    """An embedding model, and what gives its requests their turns."""

    model: EmbeddingModel
    batch: EncodingTurns[list[int]]


class ServedReranker(NamedTuple):
    """A rerank model, and what gives its requests their turns."""

    model: RerankModel
    batch: EncodingTurns[Pair]


class Models:
    """What requests find their model in. A model is kept while it is in use.

    Args:
        served: those that can be asked for.
        keeper: loads and unloads them.
        adapters: of the chat models.
        precision: of the chat models' weights.
        device: torch's name of where the models run.
        slots: conversations that the cache of each chat model can hold.
    """

    def __init__(
        self,
        served: Sequence[ServedModel],
        keeper: Keeper,
        adapters: Adapters,
        *,
        precision: Precision,
        device: str,
        slots: int,
    ) -> None:
        self.keeper = keeper
        self.adapters = adapters
        self._folders: dict[str, Path] = {each.name: each.folder for each in served}
        self._chat: dict[str, Kept[ServedChat]] = {}
        self._embedders: dict[str, Kept[ServedEmbeddings]] = {}
        self._rerankers: dict[str, Kept[ServedReranker]] = {}
        for each in served:
            measure = partial(estimate, each.folder, each.kind, precision)
            if each.kind == "chat":
                load = partial(_load_chat, each.folder, precision, slots, device)
                kept = Kept(each.name, measure, load, resident=each.resident)
                self._chat[each.name] = kept
            elif each.kind == "rerank":
                rerank = partial(_load_reranker, each.folder, device)
                reranker = Kept(each.name, measure, rerank, resident=each.resident)
                self._rerankers[each.name] = reranker
            else:
                embed = partial(_load_embedder, each.folder, device)
                embedder = Kept(each.name, measure, embed, resident=each.resident)
                self._embedders[each.name] = embedder

    async def start(self) -> None:
        """Load those that stay in memory; raises `ApiError` where one cannot be loaded."""
        kinds: tuple[dict[str, Kept[Any]], ...] = (
            {**self._chat},
            {**self._embedders},
            {**self._rerankers},
        )
        for kept in (kept for models in kinds for kept in models.values()):
            if kept.resident:
                async with self.keeper.lease(kept):
                    pass

    @asynccontextmanager
    async def chat(self, name: str) -> AsyncIterator[ServedChat]:
        """The chat model called `name`, loaded; for an adapter's name its base model, and it.

        Raises:
            ApiError: there is none, it cannot be loaded, or it does not fit into the memory.
        """
        named = self.adapters.find(name)
        kept = self._find(named.base if named else name, self._chat, "chat")
        async with self.keeper.lease(kept) as served:
            yield served._replace(adapter=named.adapter) if named else served

    @asynccontextmanager
    async def embedder(self, name: str) -> AsyncIterator[ServedEmbeddings]:
        """The embedding model called `name`, loaded; raises `ApiError` as `chat` does."""
        async with self.keeper.lease(self._find(name, self._embedders, "embeddings")) as served:
            yield served

    def embeds(self, name: str) -> bool:
        """Whether `name` is an embedding model's."""
        return name in self._embedders

    @asynccontextmanager
    async def reranker(self, name: str) -> AsyncIterator[ServedReranker]:
        """The rerank model called `name`, loaded; raises `ApiError` as `chat` does."""
        async with self.keeper.lease(self._find(name, self._rerankers, "rerank")) as served:
            yield served

    async def load_adapter(self, name: str, path: str, base: str | None) -> None:
        """Serve an adapter of the chat model `base`, or of the first one.

        Raises:
            ApiError: as `chat` and `Adapters.add` do; the name is a model's; the model takes none.
        """
        if name in self._folders:
            message = f"{name!r} is the name of a model: give the adapter another."
            raise ApiError(400, "name_taken", message)
        base = base or next(iter(self._chat), "")
        async with self.keeper.lease(self._find(base, self._chat, "chat")) as served:
            layout = served.model.decoder.layout
            if layout is None:
                message = f"{base} takes no adapters: only models of the Llama architecture do."
                raise ApiError(400, "adapters_not_supported", message)
            await self.adapters.add(name, path, base, layout)

    def entries(self) -> list[dict[str, Any]]:
        """The list of models, as OpenAI's API gives it: those whose files are there."""
        kinds: tuple[tuple[list[str], dict[str, Kept[Any]]], ...] = (
            (["chat", "json", "tools"], {**self._chat}),
            (["embeddings"], {**self._embedders}),
            (["rerank"], {**self._rerankers}),
        )
        return [
            model_entry(name, capabilities, loaded=kept.value is not None)
            for capabilities, models in kinds
            for name, kept in models.items()
            if kept.value is not None or self._installed(name)
        ] + self.adapters.entries()

    def _installed(self, name: str) -> bool:
        return (self._folders[name] / MANIFEST_NAME).is_file()

    def _find(self, name: str, models: dict[str, Kept[Any]], kind: str) -> Kept[Any]:
        kept = models.get(name)
        if kept is not None and (kept.value is not None or self._installed(name)):
            return kept
        there = ", ".join(other for other in models if self._installed(other))
        message = f"There is no {kind} model called {name!r}. There is: {there or 'none'}."
        if kept is not None:
            message = (
                f"The {kind} model {name!r} is not installed: run `countersign models pull`. "
                f"There is: {there or 'none'}."
            )
        raise ApiError(404, "model_not_found", message)


def _load_chat(folder: Path, precision: Precision, slots: int, device: str) -> ServedChat:
    model = ChatModel.load(folder, precision, slots, device)
    return ServedChat(model, ChatBatch(model.decoder))


def _load_embedder(folder: Path, device: str) -> ServedEmbeddings:
    model = EmbeddingModel.load(folder, device)
    return ServedEmbeddings(model, EncodingTurns(model))


def _load_reranker(folder: Path, device: str) -> ServedReranker:
    model = RerankModel.load(folder, device)
    return ServedReranker(model, EncodingTurns(model))
