"""What Bolt calls. A listener keeps the work and acknowledges; the work is done elsewhere.

The app is built with `process_before_response`, so an acknowledgement means that the work is in
the database: Bolt would otherwise acknowledge events first, and lose its running listeners at a
shutdown.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot import names
from bot.handlers.forms import Forms
from bot.handlers.intake import Intake, unreadable
from bot.handlers.items import HomeItem, StopItem, from_command, from_message, from_press

_DECISION = re.compile(r"^\s*(approve|deny|confirm)\b", re.IGNORECASE)


class Listeners:
    """The listeners of one app.

    Args:
        forms: what must be answered at once: opening modals, and the errors in their fields.
    """

    def __init__(self, intake: Intake, forms: Forms, command: str) -> None:
        self._intake = intake
        self._forms = forms
        self._command = command

    def register(self, app: AsyncApp) -> None:
        """Tell Bolt about all of them."""
        app.command(self._command)(self.command)
        app.event("app_mention")(self.mention)
        app.event("message")(self.message)
        app.event("app_home_opened")(self.home)
        app.event("agent_session_stopped")(self.stop)
        for action in sorted(names.PERSISTED_ACTIONS):
            app.action(action)(self.press)
        app.action(names.APPROVE_BY_PHRASE)(self._forms.open_phrase)
        app.action(names.OPEN_WORKFLOW)(self._forms.open_workflow)
        app.action(re.compile(rf"^{re.escape(names.OPEN_OFFER)}(:\d+)?$"))(self._forms.open_offer)
        app.action(names.RERUN)(self._forms.open_again)
        for action in (names.DETAILS, names.OPEN_RUN, names.MENU):
            app.action(action)(self._forms.open_run)
        app.view(names.RUN_FORM)(self._forms.submit_run)
        app.view(names.PHRASE_FORM)(self._forms.submit_phrase)
        app.view(names.GLASS_FORM)(self._forms.submit_glass)

    async def command(self, ack: AsyncAck, body: dict[str, Any]) -> None:
        """The slash command."""
        try:
            await self._intake.keep(body, from_command(body))
        except (KeyError, ValidationError) as error:
            unreadable(error, "command")
        await ack()

    async def mention(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        """A mention in a channel; one in a direct message comes as a message, too."""
        if not _from_a_person(event) or str(event.get("channel", "")).startswith("D"):
            return
        try:
            await self._intake.keep(body, from_message(event, "mention"))
        except (KeyError, ValidationError) as error:
            unreadable(error, "app_mention")

    async def message(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        """A direct message, or a reply that begins with a decision; all others are not kept."""
        if not _from_a_person(event):
            return
        direct = event.get("channel_type") == "im"
        decision = event.get("thread_ts") and _DECISION.match(event.get("text") or "")
        if not direct and not decision:
            return
        try:
            await self._intake.keep(body, from_message(event, "direct" if direct else "reply"))
        except (KeyError, ValidationError) as error:
            unreadable(error, "message")

    async def home(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        """The bot's home or its direct messages were opened."""
        try:
            item = HomeItem(
                user=event["user"], tab=event.get("tab", "home"), channel=event.get("channel") or ""
            )
            await self._intake.keep(body, item)
        except (KeyError, ValidationError) as error:
            unreadable(error, "app_home_opened")

    async def stop(self, body: dict[str, Any], event: dict[str, Any]) -> None:
        """Stop was pressed under an answer."""
        try:
            item = StopItem(
                user=event.get("user"), channel=event["channel"], thread=event["thread_ts"]
            )
            await self._intake.keep(body, item)
        except (KeyError, ValidationError) as error:
            unreadable(error, "agent_session_stopped")

    async def press(self, ack: AsyncAck, body: dict[str, Any], action: dict[str, Any]) -> None:
        """A button whose effect does not have to be answered at once."""
        try:
            await self._intake.keep(body, from_press(body, action))
        except (KeyError, ValidationError) as error:
            unreadable(error, "block_actions")
        await ack()


def _from_a_person(event: dict[str, Any]) -> bool:
    """Neither a bot's message nor an edit, a deletion or the like."""
    return not event.get("bot_id") and not event.get("subtype") and bool(event.get("user"))
