"""Debian's real Alertmanager fires fifty alerts at the real application, which is killed meanwhile:
one thread, in the channel of the owner, counts each of them once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.alertmanager import alertmanager
from tests.support.countersign import ALICE, DEPLOYS, INCIDENTS, Application
from tests.support.until import until
from tests.support.workspace import Page

pytestmark = pytest.mark.slow

TRIGGER = """\
integration: alertmanager
event: alert.firing
channel: "#incidents"
owner: {of: "${event.service}", file: catalogue.yaml}
group: {window: 10m}
mode: offer
workflows:
  - workflow: revert-commit
"""
CATALOGUE = """\
services: {checkout-*: {owner: shop}}
owners: {shop: {channel: "#deploys"}}
"""
COUNT = 50


def labels(number: int) -> dict[str, str]:
    return {"alertname": f"Disk{number}", "service": f"checkout-{number % 7}"}


async def told(page: Page) -> list[str]:
    """The messages about alerts in the owner's channel, as JSON."""
    messages: list[dict[str, Any]] = await page.messages(DEPLOYS)
    return [text for m in messages if "Disk" in (text := json.dumps(m, ensure_ascii=False))]


async def test_fifty_alerts_are_one_thread_though_the_process_is_killed(tmp_path: Path) -> None:
    app = Application(tmp_path / "home", None)
    config = app.home / "config"
    (config / "triggers" / "alertmanager-incident.yaml").write_text(TRIGGER)
    (config / "catalogue.yaml").write_text(CATALOGUE)
    await app.start()
    await app.connected()
    url = f"{app.http_url}/webhooks/alertmanager"
    token = app.secret("ALERTMANAGER_TOKEN")
    try:
        async with alertmanager(tmp_path, url, token) as sender, app.page(ALICE) as page:

            async def says(*words: str) -> bool:
                found = await told(page)
                return len(found) == 1 and all(word in found[0] for word in words)

            for number in range(COUNT // 2):
                await sender.fire(labels(number), {"summary": "full"})
            await until(lambda: told(page), "the first is told", 60)
            await app.kill()
            for number in range(COUNT // 2, COUNT):
                await sender.fire(labels(number), {"summary": "full"})
            await app.start()
            await app.connected()
            title = f"{COUNT} alerts, 7 services"
            await until(lambda: says(title, f"0 of {COUNT}"), "all are counted", 120)

            for number in range(10):
                await sender.resolve(labels(number), {"summary": "full"})
            await until(lambda: says(title, f"10 of {COUNT}"), "ten are resolved", 120)
            assert "Revert" in (await told(page))[0], "the buttons are still there"
            (message,) = [m for m in await page.messages(DEPLOYS) if "Disk" in json.dumps(m)]
            (listed,) = await page.replies(DEPLOYS, message["ts"])
            assert all(f"Disk{number} is firing" in json.dumps(listed) for number in range(COUNT))
            assert "Disk" not in json.dumps(await page.messages(INCIDENTS))

        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{app.http_url}/readyz") as answer,
        ):
            parts = (await answer.json())["parts"]
        assert set(parts) == {"models"}, "no system makes a replica unready"
    finally:
        await app.stop()
