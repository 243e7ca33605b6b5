"""Schedules added in Slack fire once on three replicas, of which one dies while it fires."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import names
from tests.support.cluster import Cluster, cluster
from tests.support.countersign import ALICE, DEPLOYS
from tests.support.postgres import Postgres
from tests.support.workspace import Page

pytestmark = pytest.mark.slow

COUNT = 12
AHEAD = timedelta(seconds=45)
"""Time enough to add them all."""


async def told(page: Page, replicas: Cluster, words: str) -> dict[str, object]:
    """The message for this person only that says `words`, once it has come."""

    async def find() -> dict[str, object] | None:
        messages = await page.messages(DEPLOYS)
        found = [m for m in messages if m["ephemeral"] and words in m["text"]]
        return found[-1] if found else None

    message = await replicas.until(find, f"somebody is told {words!r}")
    assert message is not None
    return message


async def cards(page: Page) -> Counter[str]:
    """How many cards each schedule's runs have."""
    found: Counter[str] = Counter()
    for message in await page.messages(DEPLOYS):
        _, through, rest = message["text"].partition("through schedule “")
        if through and not message["ephemeral"]:
            found[rest.partition("”")[0]] += 1
    return found


async def test_each_fires_once_though_one_replica_dies_in_firing(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.new_database()
    async with cluster(tmp_path, ("a", "b", "c"), url) as replicas:
        await replicas.start()
        async with replicas.page(ALICE) as page:
            moment = (datetime.now(UTC) + AHEAD + timedelta(minutes=1)).replace(
                second=0, microsecond=0
            )
            for number in range(COUNT):
                await page.command(
                    DEPLOYS,
                    f"/ops schedules add once-{number} at {moment:%Y-%m-%d %H:%M} tz=UTC "
                    "run prune-worktree repository=shop",
                )
                preview = await told(page, replicas, f"Shall “Once {number}” be added?")
                await page.press(preview, names.SCHEDULE_ADD)
                await told(page, replicas, f"Once {number}: It runs prune-worktree")
            await page.command(DEPLOYS, "/ops schedules pause once-0")
            await told(page, replicas, "Schedule once-0 is paused.")
            left = moment - datetime.now(UTC)
            assert left > timedelta(0), f"adding them took {-left} too long"

            victim = random.choice("abc")
            after = random.uniform(0, 0.5)
            await asyncio.sleep(left.total_seconds() + after)
            await replicas.replicas[victim].kill()
            print(f"{victim} was killed {after:.3f} s after the moment")

            wanted = {f"Once {number}" for number in range(1, COUNT)}
            await replicas.until(lambda: _all(page, wanted), "each has its run")
            await replicas.start()  # the dead one comes back, and makes up for nothing
            assert await cards(page) == Counter(wanted)
    postgres.drop(url)


async def _all(page: Page, wanted: set[str]) -> bool:
    return wanted <= set(await cards(page))
