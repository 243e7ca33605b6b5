"""`/ops webhooks …`: administrators see what has failed, and have it processed again."""

from __future__ import annotations

import json

import pytest

from bot import names
from core.security.audit import AuditLog
from core.store.inbox import SqlInbox
from tests.bot.handlers.world import ALICE, CAROL, DEPLOYS, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY = b'{"action": "<!channel> opened", "token": "s3cret"}'


async def fail(world: World, key: str) -> SqlInbox:
    inbox = SqlInbox(world.database)
    await inbox.accept("webhook:github", key, BODY, {"x-github-event": "push"}, "a/b main")
    (delivery,) = await inbox.claim(1, ["webhook"])
    await inbox.give_up(delivery, "it is not what GitHub documents <!here>")
    return inbox


async def test_an_administrator_looks_at_one_that_failed_and_has_it_processed_again(
    world: World,
) -> None:
    inbox = await fail(world, "d-1")
    page = world.pages[CAROL]
    await page.command(DEPLOYS, "/ops webhooks")
    listed = await world.whispered(CAROL, "Webhooks: github: 0 waiting, 1 failed")
    assert "d-1: it is not what GitHub documents" in listed["text"]
    assert "<!here>" not in listed["text"]

    await page.command(DEPLOYS, "/ops webhooks show d-1")
    shown = await world.whispered(CAROL, "Delivery d-1 of github failed")
    blocks = json.dumps(shown["blocks"])
    assert "x-github-event: push" in blocks
    assert "In the order of: a/b main" in blocks
    assert "s3cret" not in blocks

    await page.press(shown, names.DELIVERY_REPLAY)
    await world.whispered(CAROL, "github d-1 will be processed again.")
    (delivery,) = await inbox.claim(5, ["webhook"])
    assert (delivery.key, delivery.body) == ("d-1", BODY)
    await inbox.finish(delivery)
    entries = [e async for e in AuditLog(world.database).entries()]
    assert [(e.actor, e.subject) for e in entries if e.action == "webhook.replayed"] == [
        (CAROL, "webhook:github d-1")
    ]


async def test_by_its_key_and_its_integration(world: World) -> None:
    inbox = await fail(world, "d-2")
    page = world.pages[CAROL]
    await page.command(DEPLOYS, "/ops webhooks replay gitlab d-2")
    await world.whispered(CAROL, "There is no delivery with the key 'd-2'")
    await page.command(DEPLOYS, "/ops webhooks replay github d-2")
    await world.whispered(CAROL, "github d-2 will be processed again.")
    assert [one.key for one in await inbox.claim(5, ["webhook"])] == ["d-2"]


@pytest.mark.parametrize("words", ["show", "replay", "remove d-1", "show a b c"])
async def test_what_cannot_be_read_is_answered_with_how_to_say_it(world: World, words: str) -> None:
    await world.pages[CAROL].command(DEPLOYS, f"/ops webhooks {words}")
    await world.whispered(CAROL, "Say webhooks list, webhooks show KEY or webhooks replay KEY")


@pytest.mark.parametrize("words", ["list", "show d-1", "replay d-1"])
async def test_others_see_and_change_nothing(world: World, words: str) -> None:
    await world.pages[ALICE].command(DEPLOYS, f"/ops webhooks {words}")
    told = await world.whispered(ALICE, "To look after webhooks you need the role lead")
    assert "github" not in told["text"]
