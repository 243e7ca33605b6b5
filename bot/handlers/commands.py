"""The slash command's verbs; each answers the person only, but for what is meant for a channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from bot.assistants.panel import ALL
from bot.blocks import lists
from bot.blocks.help import BY_NAME, about, overview
from bot.blocks.layout import Content, dicts, paragraph, person, rich, text
from bot.blocks.run_filter import RunFilter
from bot.handlers.conversation import Conversation
from bot.handlers.decisions import VERBS, Decisions
from bot.handlers.deliveries import Deliveries
from bot.handlers.items import PressItem
from bot.handlers.lookups import LookUps
from bot.handlers.people import People
from bot.handlers.requests import Requests
from bot.handlers.schedules import ScheduleCommands
from bot.handlers.tools import Tools
from bot.services import BotServices
from bot.slack.escaping import escape_mrkdwn
from core.errors import InvalidRequestError
from core.records import Frozen, Place


class Typed(Frozen):
    """A verb with what follows it.

    Attributes:
        key: of the delivery.
        through: how it was asked, for people: `/ops run`.
    """

    key: str
    user: str
    place: Place
    rest: str
    through: str


class Commands:
    """Carries out verbs, for the slash command and for mentions that begin with one."""

    def __init__(
        self,
        services: BotServices,
        requests: Requests,
        decisions: Decisions,
        conversation: Conversation,
    ) -> None:
        self._services = services
        self._requests = requests
        self._decisions = decisions
        self._conversation = conversation
        look, people = LookUps(services), People(services)
        deliveries, tools = Deliveries(services), Tools(services, requests)
        self._look = look
        self._verbs: dict[str, Callable[[Typed], Awaitable[Content | None]]] = {
            "help": self._help,
            "ask": self._ask,
            "run": self._run,
            "tool": lambda typed: tools.typed(
                typed.key, typed.user, typed.place, typed.rest, typed.through
            ),
            "runs": lambda typed: look.runs(typed.user, typed.rest.strip()),
            **{verb: partial(self._decide, verb) for verb in VERBS},
            "away": lambda typed: people.away(typed.user, typed.rest),
            "reviews": lambda typed: people.reviews(typed.user, typed.rest),
            "policy": lambda typed: people.policy(typed.user, typed.place, typed.rest),
            "workflows": lambda typed: look.workflows(typed.user, typed.place, typed.rest.strip()),
            "assistants": lambda _: look.assistants(),
            "schedules": self._schedules,
            "webhooks": lambda typed: deliveries.typed(typed.user, typed.rest),
            "models": lambda _: look.models(),
            "status": lambda _: look.status(),
        }

    async def perform(self, verb: str, typed: Typed) -> None:
        """Do what a verb says; an unknown one gets the help.

        Raises:
            CountersignError: it cannot be done; the message is for the person.
        """
        known = self._verbs.get(verb)
        if known is None:
            answer: Content | None = overview(self._services.settings.command, unknown=verb[:60])
        else:
            answer = await known(typed)
        if answer is not None:
            await self._services.messenger.whisper(typed.place, typed.user, answer)

    async def page(self, item: PressItem) -> None:
        """Another page of a list of runs, where the person looks.

        Raises:
            CountersignError: it cannot be shown; the message is for the person.
        """
        answer = await self._look.page(item.user, RunFilter.read(item.value))
        messenger = self._services.messenger
        place = item.place or Place(channel=await messenger.direct_channel(item.user))
        await messenger.whisper(place, item.user, answer)

    async def _schedules(self, typed: Typed) -> Content:
        return await ScheduleCommands(self._services).typed(
            typed.key, typed.user, typed.place, typed.rest
        )

    async def _help(self, typed: Typed) -> Content:
        command = self._services.settings.command
        verb = BY_NAME.get(typed.rest.strip().lower())
        return about(verb, command) if verb else overview(command)

    async def _ask(self, typed: Typed) -> None:
        question = typed.rest.strip()
        if not question:
            command = self._services.settings.command
            raise InvalidRequestError(f"Say what you want to know: {command} ask QUESTION")
        place = typed.place
        if not await self._services.directory.can_post_in(place.channel):
            place = Place(channel=await self._services.messenger.direct_channel(typed.user))
        line = [person(typed.user), text(f" asks: {question[:3000]}")]
        asked = Content(
            text=escape_mrkdwn(f"A question: {question[:2000]}"),
            blocks=dicts([rich(paragraph(line))]),
        )
        posted = await self._services.messenger.post_once(place, asked, f"question:{typed.key}")
        thread = Place(channel=posted.channel, thread=posted.thread)
        assistant, question = self.addressed(question)
        await self._conversation.respond(typed.key, typed.user, thread, question, assistant)

    def addressed(self, words: str) -> tuple[str | None, str]:
        """The assistant that a text is addressed to (`incident: …`, or `all: …`), and the rest."""
        name, colon, rest = words.partition(":")
        known = {ALL, *self._services.state.assistants}
        if colon and name.strip().lower() in known and rest.strip():
            return name.strip().lower(), rest.strip()
        return None, words

    async def _run(self, typed: Typed) -> Content | None:
        if not typed.rest.strip():
            return await self._look.workflows(typed.user, typed.place, "")
        run = await self._requests.typed(
            typed.key, typed.user, typed.place, typed.rest, typed.through
        )
        if run is None:
            return None
        return lists.sentence(f"Asked for run {run.id}. Its card in the channel shows the plan.")

    async def _decide(self, verb: str, typed: Typed) -> Content:
        said = await self._decisions.typed(verb, typed.rest.strip(), typed.user, typed.place)
        return lists.sentence(said)
