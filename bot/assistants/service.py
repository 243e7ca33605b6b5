"""The assistants: route a request, answer it from the runbooks, propose a workflow.

Nothing here has an effect. A proposal is a workflow with what the person typed; a person asks for
the run, and others countersign it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from bot.assistants.answering import Answerer, Knowledge
from bot.assistants.arguments import fill
from bot.assistants.chat_models import ChatModels
from bot.assistants.digest import Activity, Digester
from bot.assistants.events import (
    AnswerEvent,
    Delta,
    Finished,
    Proposed,
    Question,
    Quoted,
    Routed,
    Waiting,
)
from bot.assistants.routing import Router
from core.errors import NotFoundError
from core.knowledge import Passage
from core.services.ai import AIOrchestratorClient, OrchestratorError
from core.state import AIAssistant, ApplicationState

__all__ = [
    "AnswerEvent",
    "AssistantService",
    "Delta",
    "Finished",
    "Proposed",
    "Question",
    "Quoted",
    "Routed",
    "Waiting",
]

logger = logging.getLogger(__name__)

_ASKS = re.compile(
    r"\?\s*$|^\s*(?:how|what|what's|why|when|where|which|who|whose|is|are|does|do|did|should|explain)\b",
    re.IGNORECASE,
)


class AssistantService:
    """Everything that the edges need of the assistants.

    Args:
        knowledge: where answers come from; `core.knowledge.KnowledgeBase`.
        activity: what digests are about.

    Raises:
        ConfigurationError: there is no assistant.
    """

    def __init__(
        self,
        state: ApplicationState,
        orchestrator: AIOrchestratorClient,
        knowledge: Knowledge,
        activity: Activity,
    ) -> None:
        models = ChatModels(state.models, orchestrator)
        self._assistants = state.assistants
        self._router = Router(state, orchestrator, models)
        self._answerer = Answerer(orchestrator, models, knowledge)
        self._digester = Digester(orchestrator, models, activity)

    async def prepare(self) -> None:
        """Embed the examples once, so that the first question does not wait for it."""
        try:
            await self._router.prepare()
        except OrchestratorError as error:
            logger.warning("The examples are embedded later: %s", error)

    async def respond(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """Answer: `Routed` first, `Finished` last.

        A question gets its passages, the summary, and the workflow that it may mean; an order
        gets the workflow only. Closing the iterator cancels the generation.

        Raises:
            NotFoundError: `question.assistant` does not exist.
        """
        started = time.monotonic()
        route = await self._router.route(question.text, question.assistant)
        yield Routed(assistant=route.assistant, how=route.how)
        finished = Finished(model="", seconds=0.0)
        if route.workflow is None or _ASKS.search(route.text):
            answer = self._answerer.answer(route.assistant, route.text, question.history, started)
            async with aclosing(answer) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        finished = event
                    else:
                        yield event
        if route.workflow is not None:
            arguments, missing = fill(route.workflow, route.text, question.user)
            yield Proposed(workflow=route.workflow, arguments=arguments, missing=missing)
        yield finished.model_copy(update={"seconds": time.monotonic() - started})

    async def digest(self, assistant_id: str, prompt: str) -> str:
        """Write a digest in Markdown: facts, then a labelled summary if the facts cover it.

        Raises:
            NotFoundError: there is no such assistant.
        """
        return await self._digester.write(self._assistant(assistant_id), prompt)

    async def ask(self, assistant_id: str, question: str) -> str:
        """Answer in one text of Markdown: the summary with its label, then the passages' links.

        Raises:
            NotFoundError: there is no such assistant.
        """
        assistant = self._assistant(assistant_id)
        passages: tuple[Passage, ...] = ()
        text, model = "", ""
        answer = self._answerer.answer(assistant, question, (), time.monotonic())
        async with aclosing(answer) as events:
            async for event in events:
                if isinstance(event, Quoted):
                    passages = event.passages
                elif isinstance(event, Delta):
                    text += event.text
                elif isinstance(event, Finished):
                    model = event.model
        label = f"_Summary written by {model}:_ " if model else ""
        sources = [
            f"- [{': '.join(passage.heading_path) or passage.title}]({passage.link})"
            for passage in passages
        ]
        return "\n".join([label + text, *(["", "From the runbooks:", *sources] if sources else [])])

    def _assistant(self, name: str) -> AIAssistant:
        if name not in self._assistants:
            known = ", ".join(self._assistants)
            raise NotFoundError(f"There is no assistant '{name}'. There are: {known}.")
        return self._assistants[name]
