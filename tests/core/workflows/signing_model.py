"""What must be so with signatures, written down a second time and in another way.

Nothing of the code under test is used here: rules are plain tuples, people plain names, and
whether enough have signed is found by trying everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import permutations

LENDABLE = {"approver", "security"}
GLASS_BREAKER = "lead"


@dataclass(frozen=True)
class Rule:
    """Places, each with the roles that fill it, in order where that matters."""

    places: tuple[frozenset[str], ...]
    in_order: bool = False
    hours: float = 4
    phrase: bool = False
    frozen: bool = False

    @property
    def roles(self) -> frozenset[str]:
        return frozenset[str]().union(*self.places)


@dataclass(frozen=True)
class Press:
    """A signature that was taken."""

    user: str
    away: str | None
    kind: str
    at: datetime
    content: str

    @property
    def people(self) -> set[str]:
        return {self.user} | ({self.away} if self.away else set())


@dataclass
class Town:
    """Who is in which group, and who stands in for whom until when."""

    groups: dict[str, set[str]]
    roles: dict[str, tuple[set[str], set[str]]]  # name -> groups, people
    away: dict[str, tuple[str, datetime, datetime]] = field(default_factory=dict)

    def held(self, user: str) -> set[str]:
        return {
            role
            for role, (groups, people) in self.roles.items()
            if user in people or any(user in self.groups[group] for group in groups)
        }

    def lends(self, away: str, delegate: str, now: datetime) -> set[str]:
        named, begin, end = self.away.get(away, ("", now, now))
        return self.held(away) & LENDABLE if named == delegate and begin <= now < end else set()


@dataclass
class Known:
    """A run as the model knows it.

    Attributes:
        asked: the plan that was asked for; `stored` the one that is in the table now.
        begun: it was right to begin, once.
        covered: the digest in the table is that of the plan in the table.
        over: nothing can happen to it any more.
    """

    id: str
    rule: Rule
    requester: str
    created_at: datetime
    asked: str
    stored: str
    presses: list[Press] = field(default_factory=list)
    begun: bool = False
    covered: bool = True
    over: bool = False

    @property
    def deadline(self) -> datetime:
        return self.created_at + timedelta(hours=self.rule.hours)

    @property
    def sound(self) -> bool:
        """Whether the plan is the one that was asked for, and everybody has signed that one."""
        return self.stored == self.asked and all(p.content == self.asked for p in self.presses)

    @property
    def denied(self) -> bool:
        return any(press.kind == "deny" for press in self.presses)

    def voices(self, town: Town, more: tuple[Press, ...] = ()) -> list[set[str]]:
        """The roles that each approval which still counts speaks with, the oldest first."""
        spoken: list[set[str]] = []
        used: set[str] = set()
        for press in sorted((*self.presses, *more), key=lambda press: press.at):
            held = town.held(press.away) & LENDABLE if press.away else town.held(press.user)
            counts = (
                press.kind == "approve"
                and press.content == self.stored
                and press.at < self.deadline
                and self.requester not in press.people
                and held & self.rule.roles
                and not press.people & used
            )
            if counts:
                used |= press.people
                spoken.append(held)
        return spoken

    def filled(self, town: Town, more: tuple[Press, ...] = ()) -> int:
        """How many places are filled at best."""
        voices = self.voices(town, more)
        if self.rule.in_order:
            return _in_order(self.rule.places, voices)
        most = 0
        for order in permutations(range(len(self.rule.places))):
            for chosen in permutations(voices, min(len(voices), len(order))):
                fits = [v & self.rule.places[p] for p, v in zip(order, chosen, strict=False)]
                most = max(most, sum(map(bool, fits)))
        return most

    def complete(self, town: Town) -> bool:
        return self.filled(town) == len(self.rule.places)

    def broken(self, town: Town) -> bool:
        return not self.denied and any(
            press.kind == "break_glass"
            and press.content == self.stored
            and press.at < self.deadline
            and GLASS_BREAKER in town.held(press.user)
            for press in self.presses
        )

    def may_run(self, town: Town, now: datetime) -> bool:
        """Whether it may begin now: the one question that matters."""
        signed = self.complete(town) and not self.rule.frozen
        return (
            self.sound and not self.denied and now < self.deadline and (signed or self.broken(town))
        )

    def may_press(self, town: Town, press: Press) -> bool:
        """Whether a decision may be taken, of somebody who says for whom they take it."""
        if press.at >= self.deadline:
            return False
        if press.kind == "break_glass":
            return GLASS_BREAKER in town.held(press.user) and self.sound
        own = not press.away and town.held(press.user) & self.rule.roles
        lent = press.away and town.lends(press.away, press.user, press.at) & self.rule.roles
        if not (own or lent):
            return False
        if press.kind == "deny":
            return True
        return (
            self.requester not in press.people
            and self.sound
            and not self.rule.frozen
            and self.filled(town, (press,)) > self.filled(town)
        )


def _in_order(places: tuple[frozenset[str], ...], voices: list[set[str]]) -> int:
    """The most places, from the first on, that some choice of voices fills one after the other."""
    if not places:
        return 0
    ways = [
        1 + _in_order(places[1:], voices[at + 1 :])
        for at, voice in enumerate(voices)
        if voice & places[0]
    ]
    return max(ways, default=0)
