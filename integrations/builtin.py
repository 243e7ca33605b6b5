"""Actions that need no system of anybody else's: asking an assistant, saying something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.ports import Messenger, PresentationError
from core.records import Idempotency, Identifier, Place, Risk
from core.services.ai import OrchestratorError
from core.workflows.actions import Action, ActionContext, ActionError, ActionResult
from integrations.text import clip

Ask = Callable[[str, str], Awaitable[str]]
"""Assistant id and question to its answer; raises `OrchestratorError` where it has none."""

ChannelName = Annotated[str, StringConstraints(pattern=r"^#[a-z0-9_-]{1,79}$")]


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AskArguments(_Arguments):
    """Whom to ask what."""

    assistant: Identifier
    question: str = Field(min_length=1, max_length=8000)


class AskAssistant(Action[AskArguments]):
    """Ask an assistant; its answer is for later steps. It reads, and asking twice harms nothing."""

    name: ClassVar[str] = "assistant.ask"
    summary: ClassVar[str] = "Ask an assistant a question"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    output_kind: ClassVar[Literal["system", "model"]] = "model"
    arguments = AskArguments

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def describe(self, arguments: AskArguments) -> str:
        """See `Action.describe`."""
        return f"Ask {arguments.assistant}: {clip(arguments.question, 200)}"

    async def execute(self, arguments: AskArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`. The answer is in `values.answer`."""
        try:
            answer = await self._ask(arguments.assistant, arguments.question)
        except OrchestratorError as error:
            raise ActionError(f"{arguments.assistant} has no answer: {error}") from error
        return ActionResult(
            summary=f"{arguments.assistant} answered",
            output=answer,
            values={"answer": answer[:12_000]},
        )


class PostArguments(_Arguments):
    """What to say; without a channel, in the thread where the run is talked about."""

    text: str = Field(min_length=1, max_length=12_000)
    channel: ChannelName | None = None


class PostMessage(Action[PostArguments]):
    """Say something where people talk. KEYED: the messenger finds the message of an earlier try.

    In the run's own thread it is READ: people there see every step anyway, and nothing but words
    is added. In a channel that the workflow or an argument names it is CHANGE: it reaches people
    who did not ask, under the team's name.
    """

    name: ClassVar[str] = "slack.post"
    summary: ClassVar[str] = "Post a message"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = PostArguments

    def __init__(self, messenger: Messenger) -> None:
        self._messenger = messenger

    def risk_of(self, arguments: PostArguments) -> Risk:
        """See `Action.risk_of`."""
        return Risk.READ if arguments.channel is None else Risk.CHANGE

    def describe(self, arguments: PostArguments) -> str:
        """See `Action.describe`."""
        where = f"in {arguments.channel}" if arguments.channel else "in this thread"
        return f"Post {where}: {clip(arguments.text, 200)}"

    async def preview(self, arguments: PostArguments) -> str | None:
        """See `Action.preview`. The whole text."""
        return arguments.text

    async def execute(self, arguments: PostArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        place = Place(channel=arguments.channel) if arguments.channel else context.place
        try:
            posted = await self._messenger.say(place, arguments.text, context.key)
        except PresentationError as error:
            raise ActionError(f"The message could not be posted: {error}") from error
        return ActionResult(
            summary=f"Posted {'in ' + arguments.channel if arguments.channel else 'here'}",
            values={"channel": posted.channel, "message": posted.message},
        )
