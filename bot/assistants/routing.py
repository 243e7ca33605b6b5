"""Who answers a request, and whether it means a workflow.

The examples decide, by their embeddings. Where two targets fit almost as well, the model chooses
one of them, if it is one that calls tools. The default model is not: among rivals it was right
for 18 of 32 examples that were left out, the nearest example for 19, and it took 2.7 s each.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import NamedTuple

from bot.assistants.chat_models import ChatModels
from bot.assistants.examples import Classifier, Scored, as_matrix, collect, rank_by_words
from bot.assistants.prompts import routing_prompt
from core.errors import ConfigurationError, NotFoundError
from core.knowledge.probes import PROBES
from core.services.ai import AIOrchestratorClient, ChatRequest, OrchestratorError
from core.state import AIAssistant, AIWorkflow, ApplicationState

logger = logging.getLogger(__name__)

MARGIN = 0.15
"""Least lead in score with which a target wins without the model."""
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


class _Fitted(NamedTuple):
    classifier: Classifier
    floor: float  # likeness to a workflow that nothing off the subject reaches


class Router:
    """Routes requests by the examples in the configuration.

    Raises:
        ConfigurationError: there is no assistant.
    """

    def __init__(
        self, state: ApplicationState, orchestrator: AIOrchestratorClient, models: ChatModels
    ) -> None:
        if not state.assistants:
            raise ConfigurationError(
                "There is no assistant: add a file to assistants/, or run `countersign init`."
            )
        self._assistants = state.assistants
        self._workflows = state.workflows
        self._orchestrator = orchestrator
        self._models = models
        self._examples = collect(state.assistants, state.workflows)
        self._fitted: _Fitted | None = None
        self._preparing = asyncio.Lock()

    async def prepare(self) -> None:
        """Embed the examples, once. Without embeddings it is tried again at each request.

        Raises:
            OrchestratorError: they cannot be embedded now.
        """
        async with self._preparing:
            if self._fitted is not None:
                return
            texts = [example.text for example in self._examples]
            vectors = as_matrix(await self._orchestrator.embed([*texts, *PROBES]))
            examples, probes = vectors[: len(texts)], vectors[len(texts) :]
            classifier = await asyncio.to_thread(Classifier, self._examples, examples)
            floor = max(
                (
                    item.likeness
                    for probe in probes
                    for item in classifier.rank(probe)
                    if item.target.kind == "workflow"
                ),
                default=0.0,
            )
            self._fitted = _Fitted(classifier, floor)

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
        best, how = ranked[0], by
        rivals = [item for item in ranked if best.score - item.score < MARGIN][:3]
        if len(rivals) > 1 and (chosen := await self._choose(rest, rivals)) is not None:
            best, how = chosen, "chosen by the model between " + _listed(rivals)
        if best.target.kind == "workflow" and best.likeness <= floor:
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
        means = best.target.kind == "workflow" and best.likeness > floor
        workflow = self._workflows[best.target.id] if means else None
        return Route(assistant, workflow, text, "you named it")

    async def _ranked(self, text: str) -> tuple[list[Scored], float, str]:
        text = text[:TEXT_CHARACTERS]
        try:
            await self.prepare()
            vector = as_matrix(await self._orchestrator.embed([text]))[0]
        except OrchestratorError as error:
            logger.warning("Routing by words only, embeddings are not available: %s", error)
            return rank_by_words(self._examples, text), LEAST_WORDS, "by its words"
        fitted = self._fitted
        if fitted is None or len(vector) != fitted.classifier.dimension:
            logger.warning("Routing by words only: the embedding model is another one now")
            self._fitted = None  # the next request embeds the examples anew
            return rank_by_words(self._examples, text), LEAST_WORDS, "by its words"
        return fitted.classifier.rank(vector), fitted.floor, "by its meaning"

    async def _choose(self, text: str, rivals: list[Scored]) -> Scored | None:
        labels = {item.target.id: item.target.meaning for item in rivals}
        if len(labels) < len(rivals):
            return None  # an assistant and a workflow of the same name
        examples = [(example, item.target.id) for item in rivals for example in item.nearest]
        request = ChatRequest(
            messages=routing_prompt(text, labels, examples[::-1]),
            max_tokens=24,
            deadline_s=CHOICE_DEADLINE_S,
        )
        try:
            if not (await self._models.default()).calls_tools:
                return None
            chosen = await self._orchestrator.choose(request, list(labels))
        except OrchestratorError as error:
            logger.warning("The nearest examples decide, the model cannot: %s", error)
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


def _listed(rivals: list[Scored]) -> str:
    names = [item.target.id for item in rivals]
    return ", ".join(names[:-1]) + f" and {names[-1]}"
