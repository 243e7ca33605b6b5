"""`kill -9` of the whole process at random moments: every run ends, with each effect once.

The seed is printed; `COUNTERSIGN_TEST_SEED=N` repeats it.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot import names
from tests.support.countersign import ALICE, BOB, DEPLOYS, Application, application
from tests.support.until import until
from tests.support.workspace import Page

KILLS = 20
RUNS_AT_ONCE = 2

WORKFLOW = """\
name: Four effects
objective: Have four different effects, one of which must never be repeated by itself.
parameters:
  commit: {description: hash of the commit to undo, pattern: "[0-9a-f]{40}"}
  tag: {description: name of the tag}
steps:
  - id: revert
    name: Revert
    action: git.revert
    with: {repository: shop, commit: "${parameters.commit}"}
  - id: note
    name: Note
    action: command.run
    with: {program: note}
  - id: tag
    name: Tag
    action: git.tag
    with: {repository: shop, tag: "${parameters.tag}", commit: "${parameters.commit}"}
  - id: tell
    name: Tell
    action: slack.post
    with: {channel: "#deploys", text: "told ${parameters.tag}"}
guardrails:
  - {type: approval, roles: [approver]}
"""

NOTE = """\
    note:
      path: "{script}"
      directory: "{home}"
      risk: change
      idempotency: none
"""


class Trial:
    """Runs that are asked for, countersigned and killed."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.shop = app.home / "repositories" / "shop"
        self.notes = app.home / "notes.txt"
        self.asked = 0
        self._prepare()

    def _prepare(self) -> None:
        (self.app.home / "config" / "workflows" / "four-effects.yaml").write_text(WORKFLOW)
        script = self.app.home / "note.sh"
        # Slow on both sides of its effect, so that some kills land before and some after it.
        script.write_text(
            f'#!/bin/sh\nsleep 0.3\necho "$COUNTERSIGN_KEY" >> {self.notes}\nsleep 0.3\n'
        )
        script.chmod(0o755)
        commands = self.app.home / "config" / "integrations" / "commands.yaml"
        commands.write_text(commands.read_text() + NOTE.format(script=script, home=self.app.home))

    def git(self, *arguments: str) -> str:
        """What git says in the shop repository."""
        return subprocess.run(
            ["git", "-C", str(self.shop), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, name: str) -> str:
        """A new commit that nothing else conflicts with."""
        (self.shop / f"{name}.txt").write_text(name)
        self.git("add", "--all")
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        self.git(*identity, "commit", "--quiet", "--message", f"Add {name}")
        return self.git("rev-parse", "HEAD")

    async def ask(self, page: Page, tag: str, commit: str) -> None:
        """Alice asks for a run; where the process dies before it is kept, she asks again."""
        text = f"/ops run four-effects commit={commit} tag={tag}"
        answer = await page.command(DEPLOYS, text)
        assert answer["ok"], answer

    async def card(self, page: Page, tag: str) -> dict[str, Any]:
        """The run's card in #deploys; there is never more than one."""

        async def found() -> dict[str, Any] | None:
            messages = await page.messages(DEPLOYS)
            cards = [m for m in messages if "Four effects" in m["text"] and tag in str(m["blocks"])]
            assert len(cards) <= 1, f"{len(cards)} cards for {tag}"
            return cards[0] if cards else None

        card = await until(found, f"the card of {tag}", limit_s=30)
        assert card is not None
        return card

    async def approve(self, page: Page, tag: str) -> None:
        """Bob countersigns."""
        card = await self.card(page, tag)
        assert names.APPROVE in str(card["blocks"]), card["text"]
        await page.press(card, names.APPROVE)

    async def finish(self, page: Page, tag: str) -> str:
        """Wait until the run has ended, saying what is so where a step was cut off."""
        answered = False

        async def ended() -> str | None:
            nonlocal answered
            card = await self.card(page, tag)
            shown = str(card["blocks"])
            if names.RESOLVE_DONE in shown and not answered:
                answered = True
                self.asked += 1
                notes = self.notes.read_text() if self.notes.exists() else ""
                done = f"{self._run_id(card)}/note" in notes
                await page.press(card, names.RESOLVE_DONE if done else names.RESOLVE_REPEAT)
            first = card["text"].splitlines()[0]
            return first if first.startswith(("Done", "Failed", "Denied", "Blocked")) else None

        return str(await until(ended, f"the end of {tag}:\n{self.app.tail()}", limit_s=60))

    @staticmethod
    def _run_id(card: dict[str, Any]) -> str:
        found = re.search(r"Run ([0-9a-f]{12})", card["text"])
        assert found, card["text"]
        return found[1]

    async def check(self, page: Page, tag: str, commit: str) -> None:
        """Each effect is there exactly once."""
        card = await self.card(page, tag)
        run_id = self._run_id(card)
        trailers = self.git("log", "--format=%B", "main").count(f"Countersign-Run: {run_id}/revert")
        assert trailers == 1, f"{tag} was reverted {trailers} times"
        assert self.notes.read_text().splitlines().count(f"{run_id}/note") == 1
        assert self.git("rev-parse", f"{tag}^{{commit}}") == commit
        told = [m for m in await page.messages(DEPLOYS) if m["text"] == f"told {tag}"]
        assert len(told) == 1, f"{tag} was told {len(told)} times"


@pytest.mark.slow
async def test_every_effect_happens_once_whenever_the_process_dies(tmp_path: Path) -> None:
    seed = int(os.environ.get("COUNTERSIGN_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with application(tmp_path / "home", models=None) as app:
        trial = Trial(app)
        await app.stop()  # the workflow was written after the start
        await app.start()
        await app.connected()
        async with app.page(ALICE) as alice, app.page(BOB) as bob:
            for number in range(KILLS // 2):
                tags = [f"t{number}-{i}" for i in range(RUNS_AT_ONCE)]
                commits = {tag: trial.commit(tag) for tag in tags}
                for tag in tags:
                    await trial.ask(alice, tag, commits[tag])
                await asyncio.sleep(chance.uniform(0, 1.0))
                await app.kill()  # while the approval is awaited, or the plan is being made
                await app.start()
                await app.connected()
                for tag in tags:
                    await trial.approve(bob, tag)
                await asyncio.sleep(chance.uniform(0, 2.0))
                await app.kill()  # in or between two steps
                await app.start()
                await app.connected()
                for tag in tags:
                    assert (await trial.finish(bob, tag)).startswith("Done"), tag
                    await trial.check(bob, tag, commits[tag])
            print(f"{KILLS} kills, a person was asked {trial.asked} times whether a step was done")
            whole = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "from bot.cli import main; main()",
                "audit",
                "verify",
                env=app.environment,
            )
            assert await whole.wait() == 0, "the audit log is not whole"
