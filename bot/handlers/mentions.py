"""Mentions, direct messages, and replies in a run's thread."""

from __future__ import annotations

import re

from bot.blocks.help import BY_NAME
from bot.handlers.commands import Commands, Typed
from bot.handlers.conversation import Conversation
from bot.handlers.decisions import VERBS, Decisions
from bot.handlers.items import MessageItem
from bot.services import BotServices
from bot.slack.incoming import typed, without_mention
from core.records import Place

_RUN = r"[0-9a-f]{4,12}\b"
_PERSON = r"[UW][A-Z0-9]{2,30}\b"
_FOLLOWED_BY = {
    "runs": re.compile(rf"mine\b|[a-z]+=\S|{_RUN}"),
    "away": re.compile(rf"back\b|{_PERSON}"),
    "reviews": re.compile(_RUN),
    "policy": re.compile(rf"[a-z][a-z0-9-]*(\s+{_PERSON})?$"),
    "schedules": re.compile(r"(list|add|pause|resume|run|remove)\b"),
    "workflows": re.compile(r"[a-z][a-z0-9-]*$"),
    "tool": re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9_]+(\s+[A-Za-z_][A-Za-z0-9_-]*=|$)"),
}
"""How what follows a verb begins, where the whole is a command and no question."""


class Mentions:
    """Finds out what is meant: a decision, a verb of the command, or a question."""

    def __init__(
        self,
        services: BotServices,
        commands: Commands,
        decisions: Decisions,
        conversation: Conversation,
    ) -> None:
        self._services = services
        self._commands = commands
        self._decisions = decisions
        self._conversation = conversation

    async def take(self, key: str, item: MessageItem) -> None:
        """Do what is meant.

        Raises:
            CountersignError: it cannot be done; the message is for the person.
        """
        me = await self._services.directory.me()
        words = typed(without_mention(item.text, me.user)) or "help"
        first, _, rest = words.partition(" ")
        verb = first.lower().rstrip(":")
        if item.kind == "reply" and not await self._is_decision(verb, item):
            return  # people say "approve" about other things, too
        if self._is_verb(verb, rest.strip(), item):
            # A decision is about the thread that it stands in; all else is answered in one.
            decides = verb in VERBS
            place = Place(channel=item.channel, thread=item.thread) if decides else item.place
            asked = Typed(
                key=key, user=item.user, place=place, rest=rest, through=f"@{me.name} {verb}"
            )
            await self._commands.perform(verb, asked)
            return
        assistant, question = self._commands.addressed(words)
        newest = item.ts if item.thread else None
        await self._conversation.respond(
            key, item.user, item.place, question, assistant, newest=newest
        )

    async def _is_decision(self, verb: str, item: MessageItem) -> bool:
        return verb in VERBS and await self._decisions.waits_in(verb, item.place)

    def _is_verb(self, verb: str, rest: str, item: MessageItem) -> bool:
        """Whether a text that begins so is a command; `status of db-1?` is a question."""
        if verb in VERBS:
            return item.kind == "reply" or not rest.endswith("?")
        if verb == "run":
            return rest.partition(" ")[0] in self._services.workflows.workflows
        if verb in _FOLLOWED_BY and rest:
            return bool(_FOLLOWED_BY[verb].match(rest)) and not rest.endswith("?")
        return verb != "ask" and verb in BY_NAME and not rest
