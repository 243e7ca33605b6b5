"""A team with three assistants and four workflows, and an orchestrator without a model."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from bot.assistants.digest import OpenIncident
from core.configuration import read_folder
from core.knowledge import Passage
from core.records import Risk
from core.security.policy import Grant, Policy, Right, Role
from core.services.ai import (
    ChatChunk,
    ChatReply,
    ChatRequest,
    ModelInfo,
    OrchestratorError,
    OrchestratorHealth,
    Priority,
    Usage,
)
from core.state import AIAssistant, AIWorkflow, ApplicationState
from core.workflows.guardrails import Approval
from core.workflows.run import Run, RunState

M = TypeVar("M", bound=BaseModel)
STARTER = Path(__file__).parents[2] / "core" / "starter" / "config"
_DIMENSION = 512


def team(
    assistants: Mapping[str, AIAssistant] | None = None,
    workflows: Mapping[str, AIWorkflow] | None = None,
) -> ApplicationState:
    """The starter's assistants and workflows, unless others are given."""
    if assistants is None:
        assistants = read_folder(STARTER / "assistants", AIAssistant)
    if workflows is None:
        workflows = read_folder(STARTER / "workflows", AIWorkflow)
    return ApplicationState(
        folder=STARTER,
        policy=Policy(
            roles={"operator": Role(users=("U1", "U2"))},
            grants=(Grant(allow=tuple(Right), roles=("operator",)),),
            approval={risk: Approval(roles=("operator",)) for risk in list(Risk)[1:]},
        ),
        models={},
        assistants=dict(assistants),
        workflows=dict(workflows),
        integrations={},
        triggers={},
        schedules={},
        datasets={},
        training_profiles={},
        training_runs={},
    )


def passage(text: str, document: str = "disk.md", heading: str = "Mitigation") -> Passage:
    """A runbook passage with this text."""
    return Passage(
        document=document,
        title="Disk is full",
        heading_path=("Disk is full", heading),
        anchor=heading.lower(),
        text=text,
        start_line=10,
        end_line=20,
        link=f"http://localhost/runbooks/{document}#{heading.lower()}",
        score=1.0,
    )


class Library:
    """Knowledge that gives the passages of the first key that the query contains."""

    def __init__(self, passages: Mapping[str, Sequence[Passage]]) -> None:
        self._passages = passages
        self.queries: list[str] = []

    async def search(self, query: str, limit: int = 3) -> list[Passage]:
        self.queries.append(query)
        for key, found in self._passages.items():
            if key in query.lower():
                return list(found)[:limit]
        return []


class Ledger:
    """Activity that is given."""

    def __init__(
        self,
        awaiting: Sequence[Run] = (),
        counts: Mapping[RunState, int] | None = None,
        incidents: Sequence[OpenIncident] = (),
    ) -> None:
        self._awaiting = list(awaiting)
        self._counts = dict(counts or {})
        self._incidents = list(incidents)
        self.since: datetime | None = None

    async def awaiting(self) -> list[Run]:
        return self._awaiting

    async def runs_by_state(self, since: datetime) -> Mapping[RunState, int]:
        self.since = since
        return self._counts

    async def open_incidents(self) -> list[OpenIncident]:
        return self._incidents


class ScriptedOrchestrator:
    """Embeds by hashing words, and says what it is told to.

    Args:
        says: the text that it streams, or a function of the request.
        fails: raised by generation after `fails_after` characters.
        embeds: False makes embeddings unavailable.
        hangs: after its text, it goes on without saying anything.
        places: in the queue, told before the text.
    """

    def __init__(
        self,
        says: str | Callable[[ChatRequest], str] = "",
        *,
        fails: OrchestratorError | None = None,
        fails_after: int = 0,
        embeds: bool = True,
        hangs: bool = False,
        chooses: str | None = None,
        places: Sequence[int] = (),
    ) -> None:
        self._says = says
        self._fails = fails
        self._fails_after = fails_after
        self.embeds = embeds
        self._hangs = hangs
        self._chooses = chooses
        self._places = places
        self.requests: list[ChatRequest] = []
        self.embedded: list[str] = []
        self.choices: list[list[str]] = []
        self.cancelled = False

    async def chat(self, request: ChatRequest) -> ChatReply:
        text = "".join([chunk.text async for chunk in self.stream(request)])
        usage = Usage(prompt_tokens=1, completion_tokens=1)
        return ChatReply(text=text, model="scripted", finish_reason="stop", usage=usage)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        self.requests.append(request)
        text = self._says if isinstance(self._says, str) else self._says(request)
        try:
            for place in self._places:
                yield ChatChunk(text="", place=place)
            for position, character in enumerate(text):
                if self._fails and position >= self._fails_after:
                    break
                yield ChatChunk(text=character)
            if self._fails:
                raise self._fails
            if self._hangs:
                await asyncio.Event().wait()
            yield ChatChunk(text="", finish_reason="stop")
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled = True
            raise

    async def choose(self, request: ChatRequest, choices: Sequence[str]) -> str:
        self.requests.append(request)
        self.choices.append(list(choices))
        if self._fails:
            raise self._fails
        return self._chooses if self._chooses and self._chooses in choices else choices[0]

    async def structured(self, request: ChatRequest, schema: type[M]) -> M:
        raise OrchestratorError("no JSON here")

    async def regex(self, request: ChatRequest, pattern: str) -> str:
        raise OrchestratorError("no patterns here")

    async def rerank(
        self, query: str, documents: Sequence[str], model: str | None = None
    ) -> list[float]:
        raise OrchestratorError("no reranking here")

    async def load_adapter(self, name: str, path: str, base_model: str | None = None) -> None:
        raise OrchestratorError("no adapters here")

    async def unload_adapter(self, name: str) -> None:
        raise OrchestratorError("no adapters here")

    async def embed(
        self,
        texts: Sequence[str],
        model: str | None = None,
        priority: Priority = "interactive",
    ) -> list[list[float]]:
        if not self.embeds:
            raise OrchestratorError("no embeddings here")
        self.embedded += texts
        return [_hashed(text) for text in texts]

    async def models(self) -> list[ModelInfo]:
        tools = {"tools"} if self._chooses else set()
        able = frozenset({"chat", *tools})
        return [ModelInfo.model_validate({"name": "scripted", "capabilities": able})]

    async def health(self) -> OrchestratorHealth:
        return OrchestratorHealth(ready=True, detail="scripted")

    async def start(self) -> None:
        """Nothing is to be opened."""

    async def close(self) -> None:
        """Nothing was opened."""


def _hashed(text: str) -> list[float]:
    vector = [0.0] * _DIMENSION
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4]) % _DIMENSION] += 1.0
    length = sum(value * value for value in vector) ** 0.5 or 1.0
    return [value / length for value in vector]
