"""`/ops webhooks …`: how deliveries stand, what has failed, and having it processed again.

For those who administer every workflow: a delivery can start any.
"""

from __future__ import annotations

from bot.blocks import lists
from bot.blocks.deliveries import delivery_details, delivery_list
from bot.blocks.layout import Content
from bot.handlers.items import PressItem
from bot.services import BotServices
from core.errors import InvalidRequestError, NotAllowedError
from core.records import Place
from core.security.policy import Right

_LISTED = 21


class Deliveries:
    """Answers for one person.

    Every method raises `NotAllowedError` for others than administrators, and what
    `DeliveryBook` raises.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services
        self._book = services.deliveries

    async def typed(self, user: str, words: str) -> Content:
        """`[list]`, `show [INTEGRATION] KEY` or `replay [INTEGRATION] KEY`."""
        await self._require(user)
        verb, *named = words.split()[:4] or ["list"]
        integration, key = (None, named[0]) if len(named) == 1 else (*named, None, None)[:2]
        match verb.lower():
            case "list":
                standings = await self._book.standings()
                failed = await self._book.failed(limit=_LISTED)
                return delivery_list(standings, failed, self._services.settings.command)
            case "show" if key:
                delivery = await self._book.find(key, integration)
                return delivery_details(delivery, await self._book.contents(delivery))
            case "replay" if key:
                return await self._replay(user, key, integration)
        raise InvalidRequestError(
            "Say webhooks list, webhooks show KEY or webhooks replay KEY; before the KEY the "
            "integration, where several have it."
        )

    async def pressed(self, item: PressItem) -> None:
        """The button under one that has failed; the answer is for who pressed it."""
        await self._require(item.user)
        integration, _, key = item.value.partition(" ")
        said = await self._replay(item.user, key, integration)
        messenger = self._services.messenger
        place = item.place or Place(channel=await messenger.direct_channel(item.user))
        await messenger.whisper(place, item.user, said)

    async def _replay(self, user: str, key: str, integration: str | None) -> Content:
        found = await self._book.replay(key, user, integration)
        return lists.sentence(f"{found.integration} {found.key} will be processed again.")

    async def _require(self, user: str) -> None:
        workflows = self._services.workflows.workflows
        if not workflows:
            raise NotAllowedError("There is no workflow, so nobody administers all of them.")
        for workflow in workflows:
            await self._services.permissions.require(
                user, Right.ADMINISTER, workflow, None, "look after webhooks"
            )
