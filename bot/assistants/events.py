"""What is asked of the assistants, and what an answer is made of, in the order it comes."""

from __future__ import annotations

from pydantic import Field

from core.knowledge import Passage
from core.records import Frozen, Place
from core.services.ai import ChatMessage
from core.state import AIAssistant, AIWorkflow
from core.workflows.plan import PlannedArgument


class Question(Frozen):
    """A person's request.

    Attributes:
        user: Slack user id; arguments found in the text are theirs.
        text: as typed, without the mention of the bot. At most 12,000 characters count.
        assistant: id of the persona that was asked for; None lets the router decide.
        history: earlier turns of the thread, oldest first, without this one.
    """

    user: str = Field(max_length=80)
    text: str
    place: Place
    assistant: str | None = None
    history: tuple[ChatMessage, ...] = ()


class Routed(Frozen):
    """Who answers, and why it is this persona, in a few words for people. Always the first."""

    assistant: AIAssistant
    how: str


class Quoted(Frozen):
    """The runbook passages that the answer rests on, best first; at least one."""

    passages: tuple[Passage, ...]


class Waiting(Frozen):
    """The model has others to serve first; `place` 1 is next."""

    place: int = Field(ge=1)


class Delta(Frozen):
    """More text, whole sentences each time. Markdown with code spans only; the edge escapes it."""

    text: str


class Proposed(Frozen):
    """A workflow that the request means.

    Attributes:
        arguments: only what the person typed, so each has the provenance `person`.
        missing: parameters that a person must still give, in their order: without a value or a
            default, or with a value in the text that does not fit.
    """

    workflow: AIWorkflow
    arguments: dict[str, PlannedArgument]
    missing: tuple[str, ...]


class Finished(Frozen):
    """Always the last.

    Attributes:
        model: who wrote the text of the deltas; empty where no model wrote any of it (then the
            deltas are Countersign's own words and need no label).
        seconds: from the question to here.
    """

    model: str
    seconds: float


AnswerEvent = Routed | Quoted | Waiting | Delta | Proposed | Finished
