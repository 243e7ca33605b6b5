"""People at the workspace's page, who ask for runs and decide about them until they have ended."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot import names
from bot.blocks.run_card import TITLES
from core.workflows.run import RunState
from tests.support.countersign import DEPLOYS, GENERAL
from tests.support.faulty_work import HOSTS, FaultyWork
from tests.support.workspace import Page

_ENDS = {title for state, title in TITLES.items() if state.final}
_APPROVABLE = TITLES[RunState.AWAITING]
_AGAIN_S = 5.0  # until a person presses again where nothing has happened
_LOOK_S = 2.0  # a program that was left alone has come to its end by then


class Kind(StrEnum):
    """What becomes of a run, as far as people decide it."""

    WHOLE = "whole"
    UNDONE = "undone"
    DENIED = "denied"
    LATE = "late"
    CANCELLED = "cancelled"
    BY_HAND = "by hand"


_WEIGHTS = {
    Kind.WHOLE: 4,
    Kind.UNDONE: 3,
    Kind.DENIED: 1,
    Kind.LATE: 2,
    Kind.CANCELLED: 1,
    Kind.BY_HAND: 2,
}


@dataclass
class Asked:
    """A run that was asked for.

    Attributes:
        sure: whether Slack was told that the command had been taken.
        decide_at: when a person decides about it, in seconds of the monotonic clock.
        ended: the title of its card, once it has ended.
    """

    tag: str
    kind: Kind
    sure: bool
    decide_at: float
    run_id: str = ""
    ended: str = ""
    pressed: dict[str, float] = field(default_factory=dict)
    question_since: float | None = None


class People:
    """Alice asks; Bob, who is on call, decides.

    Attributes:
        asked: by tag, the runs that were asked for and have come to be.
        questions: how often a person was asked whether a step was done.
    """

    def __init__(self, alice: Page, bob: Page, work: FaultyWork, chance: random.Random) -> None:
        self._alice = alice
        self._bob = bob
        self._work = work
        self._chance = chance
        self._asked: dict[str, Asked] = {}
        self._number = 0
        self.questions = 0

    @property
    def asked(self) -> dict[str, Asked]:
        """Without those that Slack could not hand over and nobody has taken."""
        return {tag: one for tag, one in self._asked.items() if one.sure or one.run_id}

    @property
    def open(self) -> list[Asked]:
        """Those that have not ended."""
        return [one for one in self.asked.values() if not one.ended]

    async def ask(self) -> bool:
        """Ask for one more run, of a kind that chance decides; False where nobody takes it."""
        self._number += 1
        tag = f"t{self._number}"
        kind = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        more = {Kind.UNDONE: " fail=yes", Kind.BY_HAND: " by_hand=yes"}.get(kind, "")
        workflow = "faults-soon" if kind is Kind.LATE else "faults"
        text = f"/ops run {workflow} tag={tag} hosts={','.join(HOSTS)}{more}"
        # The late one is signed about when it expires.
        wait_s = self._chance.uniform(2, 5) if kind is Kind.LATE else self._chance.uniform(0, 2)
        answer = await self._alice.command(DEPLOYS, text)
        self._asked[tag] = Asked(tag, kind, bool(answer["ok"]), time.monotonic() + wait_s)
        return self._asked[tag].sure

    async def look(self) -> None:
        """Look at every card once, and do what it asks for."""
        cards: dict[str, dict[str, Any]] = {}
        for message in await self._bob.messages(DEPLOYS):
            if found := re.search(r"\bt[0-9]+\b", " ".join(_texts(message["blocks"]))):
                other = cards.get(found[0], {}).get("text")
                assert other is None, f"{found[0]} has two cards: {other} ### {message['text']}"
                cards[found[0]] = message
        for tag, card in cards.items():
            asked = self._asked[tag]
            if run := re.search(r"Run ([0-9a-f]{12})", card["text"]):
                asked.run_id = run[1]
            asked.ended = next((e for e in _ENDS if card["text"].startswith(f"{e}: ")), "")
            if not asked.ended:
                await self._decide(asked, card)

    async def told(self, asked: Asked) -> int:
        """How often the last step's message stands there."""
        messages = await self._bob.messages(GENERAL)
        return Counter(message["text"] for message in messages)[f"told {asked.tag}"]

    async def _decide(self, asked: Asked, card: dict[str, Any]) -> None:
        now = time.monotonic()
        shown = str(card["blocks"])
        if names.RESOLVE_DONE not in shown:
            asked.question_since = None
        if now < asked.decide_at:
            return
        if card["text"].startswith(_APPROVABLE):
            word = names.DENY if asked.kind is Kind.DENIED else names.APPROVE
            await self._press(self._bob, asked, card, word)
            if self._chance.random() < 0.3:  # and once more, impatiently
                await self._press(self._bob, asked, card, word, again_s=0)
        elif names.RESOLVE_DONE in shown:
            await self._answer(asked, card, now)
        elif names.STEP_DONE in shown:
            await self._press(self._bob, asked, card, names.STEP_DONE)
        elif asked.kind is Kind.CANCELLED and now > asked.decide_at + 2:
            await self._press(self._alice, asked, card, names.CANCEL)

    async def _answer(self, asked: Asked, card: dict[str, Any], now: float) -> None:
        if asked.question_since is None:
            asked.question_since = now
            self.questions += 1
        if now - asked.question_since > _LOOK_S:
            done = "paid" in self._work.effects(asked.tag)
            action = names.RESOLVE_DONE if done else names.RESOLVE_REPEAT
            await self._press(self._bob, asked, card, action)

    async def _press(
        self,
        page: Page,
        asked: Asked,
        card: dict[str, Any],
        action: str,
        again_s: float = _AGAIN_S,
    ) -> None:
        now = time.monotonic()
        if now - asked.pressed.get(action, -again_s) < again_s:
            return
        asked.pressed[action] = now
        with suppress(AssertionError):  # the card has just changed, and the button is gone
            await page.press(card, action)


def _texts(blocks: Any) -> Iterator[str]:
    """What the blocks say, without ids: a random one can look like a tag."""
    if isinstance(blocks, list):
        for block in blocks:
            yield from _texts(block)
    elif isinstance(blocks, dict):
        for name, value in blocks.items():
            if name == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)
