"""Who answers a request, and whether it means a workflow.

Nearest neighbours over embeddings of examples decide; where two targets are almost as near, the
model chooses between them, and can only choose one of them. Neither can make a new target.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bot.assistants.examples import Scored, as_matrix, by_words, collect, rank
from bot.assistants.prompts import routing_prompt
from core.errors import ConfigurationError, NotFoundError
from core.knowledge.probes import PROBES
from core.services.ai import AIOrchestratorClient, ChatRequest, OrchestratorError
from core.state import AIAssistant, AIWorkflow, ApplicationState

logger = logging.getLogger(__name__)

MARGIN = 0.03
"""Least lead in cosine similarity with which the nearest target wins without the model."""
LEAST_WORDS = 0.4
"""Least likeness by words alone at which a workflow is proposed."""
CHOICE_DEADLINE_S = 15.0
TEXT_CHARACTERS = 2000

_PREFIX = re.compile(r"^\s*@?([A-Za-z][\w -]{0,79}?)\s*:\s+(?=\S)")


class Route(NamedTuple):
    """Where a request goes; `text` is what is left of it without the persona's name."""

    assistant: AIAssistant
    workflow: AIWorkflow | None
    text: str
    how: str


class _Vectors(NamedTuple):
    examples: NDArray[np.float32]
    floor: float  # what nothing that is off the subject reaches with a workflow's examples


class Router:
    """Routes requests by the examples in the configuration.

    Raises:
        ConfigurationError: there is no assistant.
    """

    def __init__(self, state: ApplicationState, orchestrator: AIOrchestratorClient) -> None:
        if not state.assistants:
            raise ConfigurationError(
                "There is no assistant: add a file to assistants/, or run `countersign init`."
            )
        self._assistants = state.assistants
        self._workflows = state.workflows
        self._orchestrator = orchestrator
        self._examples = collect(state.assistants, state.workflows)
        self._vectors: _Vectors | None = None
        self._preparing = asyncio.Lock()

    async def prepare(self) -> None:
        """Embed the examples, once; without embeddings it is tried again at each request."""
        async with self._preparing:
            if self._vectors is not None:
                return
            texts = [example.text for example in self._examples]
            vectors = as_matrix(await self._orchestrator.embed([*texts, *PROBES]))
            examples, probes = vectors[: len(texts)], vectors[len(texts) :]
            reached = [self._best_workflow(probe @ examples.T) for probe in probes]
            self._vectors = _Vectors(examples, max(reached, default=0.0))

    async def route(self, text: str, assistant: str | None = None) -> Route:
        """Decide who answers.

        Args:
            assistant: id of the persona that was asked for already.

        Raises:
            NotFoundError: there is no such assistant.
        """
        named, rest = self._named(text)
        if named is None and assistant is not None:
            named = self._assistant(assistant)
        ranked, floor, by = await self._ranked(rest)
        if named is not None:
            return self._for_named(named, rest, ranked, floor)
        best, how = ranked[0], f"{by}: {ranked[0].score:.2f}"
        rivals = [item for item in ranked if best.score - item.score < MARGIN][:3]
        if len(rivals) > 1 and (chosen := await self._choose(rest, rivals)) is not None:
            best, how = chosen, "chosen by the model between " + _listed(rivals)
        if best.target.kind == "workflow" and best.score <= floor:
            best = next(item for item in ranked if item.target.kind == "assistant")
        if best.target.kind == "workflow":
            workflow = self._workflows[best.target.id]
            return Route(self._proposer(workflow, ranked), workflow, rest, how)
        return Route(self._assistants[best.target.id], None, rest, how)

    def _named(self, text: str) -> tuple[AIAssistant | None, str]:
        if match := _PREFIX.match(text):
            name = match[1].strip().casefold()
            for assistant in self._assistants.values():
                if name in {assistant.id, assistant.name.casefold()}:
                    return assistant, text[match.end() :].strip()
        return None, text.strip()

    def _assistant(self, name: str) -> AIAssistant:
        if name not in self._assistants:
            known = ", ".join(self._assistants)
            raise NotFoundError(f"There is no assistant '{name}'. There are: {known}.")
        return self._assistants[name]

    def _for_named(
        self, assistant: AIAssistant, text: str, ranked: list[Scored], floor: float
    ) -> Route:
        """Only the workflows of that assistant count, and any assistant speaks against them."""
        best = next(
            item
            for item in ranked
            if item.target.kind == "assistant" or item.target.id in assistant.workflows
        )
        means = best.target.kind == "workflow" and best.score > floor
        workflow = self._workflows[best.target.id] if means else None
        return Route(assistant, workflow, text, "you named it")

    async def _ranked(self, text: str) -> tuple[list[Scored], float, str]:
        text = text[:TEXT_CHARACTERS]
        try:
            await self.prepare()
            query = as_matrix(await self._orchestrator.embed([text]))[0]
        except OrchestratorError as error:
            logger.warning("Routing by words only, embeddings are not available: %s", error)
            return rank(self._examples, by_words(self._examples, text)), LEAST_WORDS, "by words"
        if self._vectors is None or len(query) != self._vectors.examples.shape[1]:
            logger.warning("Routing by words only: the embedding model is another one now")
            self._vectors = None  # the next request embeds the examples anew
            return rank(self._examples, by_words(self._examples, text)), LEAST_WORDS, "by words"
        similarities = (self._vectors.examples @ query).tolist()
        return rank(self._examples, similarities), self._vectors.floor, "nearest examples"

    async def _choose(self, text: str, rivals: list[Scored]) -> Scored | None:
        labels = {item.target.id: item.target.meaning for item in rivals}
        examples = [(example, item.target.id) for item in rivals for example in item.nearest]
        request = ChatRequest(
            messages=routing_prompt(text, labels, examples[::-1]),
            max_tokens=24,
            deadline_s=CHOICE_DEADLINE_S,
        )
        try:
            chosen = await self._orchestrator.choose(request, list(labels))
        except OrchestratorError as error:
            logger.warning("The nearest example decides, the model cannot: %s", error)
            return None
        return next((item for item in rivals if item.target.id == chosen), None)

    def _proposer(self, workflow: AIWorkflow, ranked: list[Scored]) -> AIAssistant:
        """The nearest of the assistants that may propose it."""
        return next(
            self._assistants[item.target.id]
            for item in ranked
            if item.target.kind == "assistant"
            and workflow.id in self._assistants[item.target.id].workflows
        )

    def _best_workflow(self, similarities: NDArray[np.float32]) -> float:
        ranked = rank(self._examples, similarities.tolist())
        return next((item.score for item in ranked if item.target.kind == "workflow"), 0.0)


def _listed(rivals: list[Scored]) -> str:
    names = [item.target.id for item in rivals]
    return ", ".join(names[:-1]) + f" and {names[-1]}"
