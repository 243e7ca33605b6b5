"""What is done with what the listeners kept."""

from __future__ import annotations

from bot import names
from bot.handlers.commands import Commands, Typed
from bot.handlers.conversation import Conversation
from bot.handlers.decisions import Decisions
from bot.handlers.deliveries import Deliveries
from bot.handlers.home import Home
from bot.handlers.items import (
    CommandItem,
    FormItem,
    GlassItem,
    HomeItem,
    Item,
    MessageItem,
    PhraseItem,
    PressItem,
    StopItem,
    read_item,
)
from bot.handlers.mentions import Mentions
from bot.handlers.requests import Requests
from bot.handlers.schedules import ScheduleCommands
from bot.handlers.telling import Telling
from bot.services import BotServices
from bot.slack.incoming import typed
from core.inbox import Delivery
from core.records import Place


class SlackWork:
    """The handler of deliveries from Slack."""

    def __init__(self, services: BotServices) -> None:
        self._services = services
        self._requests = Requests(services)
        self._decisions = Decisions(services)
        self._conversation = Conversation(services)
        self._commands = Commands(services, self._requests, self._decisions, self._conversation)
        self._mentions = Mentions(services, self._commands, self._decisions, self._conversation)
        self._home = Home(services)
        self._schedules = ScheduleCommands(services)
        self._deliveries = Deliveries(services)

    async def handle(self, delivery: Delivery) -> None:
        """Do what was asked; may be called again after a crash.

        What cannot be done is told to the person and is over.

        Raises:
            PresentationError: Slack could not be reached; try again.
            InvalidRequestError: the body is not an item of the listeners.
        """
        item = read_item(delivery.body)
        if isinstance(item, StopItem):
            self._conversation.stop(Place(channel=item.channel, thread=item.thread))
            return
        async with Telling(self._services, item, delivery):
            await self._services.directory.require_member(item.user)
            await self._perform(delivery.key, item)

    async def _perform(self, key: str, item: Item) -> None:
        match item:
            case CommandItem():
                await self._command(key, item)
            case MessageItem():
                await self._mentions.take(key, item)
            case HomeItem():
                await self._home.opened(item)
            case PressItem(action=names.HOME_REFRESH):
                await self._home.publish(item.user)
            case PressItem(action=names.RUNS_OLDER | names.RUNS_NEWEST):
                await self._commands.page(item)
            case PressItem(action=names.DELIVERY_REPLAY):
                await self._deliveries.pressed(item)
            case PressItem(action=action) if action in names.SCHEDULE_ACTIONS:
                await self._schedules.pressed(key, item)
            case PressItem():
                await self._decisions.pressed(item)
            case FormItem():
                await self._requests.filled_in(key, item)
            case PhraseItem():
                await self._decisions.phrase(item.run, item.user, item.phrase)
            case GlassItem():
                await self._decisions.glass(item.run, item.user, item.reason)

    async def _command(self, key: str, item: CommandItem) -> None:
        verb, _, rest = typed(item.text).partition(" ")
        verb = verb.lower() or "help"
        asked = Typed(
            key=key,
            user=item.user,
            place=Place(channel=item.channel),
            rest=rest,
            through=f"{self._services.settings.command} {verb}"[:100],
        )
        await self._commands.perform(verb, asked)
