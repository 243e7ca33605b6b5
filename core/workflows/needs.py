"""Whose countersignatures a run needs, and which of those given fill which place."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from core.errors import ConfigurationError
from core.records import Frozen, Identifier

_MOST = 10  # of people in one need


class Need(Frozen):
    """`count` people who each hold one of `roles`."""

    count: int = Field(default=1, ge=1, le=_MOST)
    roles: tuple[Identifier, ...] = Field(min_length=1, max_length=20)

    def describe(self) -> str:
        """`2 people with the role approver or lead`."""
        people = "1 person" if self.count == 1 else f"{self.count} people"
        return f"{people} with the role {' or '.join(self.roles)}"


def assign(
    needs: Sequence[Need], voices: Sequence[frozenset[str]], sequential: bool
) -> list[int | None]:
    """Which need each voice fills.

    Args:
        needs: what must be filled; sequential ones in order.
        voices: for each signature the roles with which it speaks, in the order of signing.
        sequential: a need is filled only by who signs after the needs before it are filled.

    Returns:
        For each voice the position of its need, or None where it fills none. As many places are
        filled as can be: in any order, this is a maximum matching of voices to places.
    """
    return _in_sequence(needs, voices) if sequential else _in_any_order(needs, voices)


def left(needs: Sequence[Need], filled: Sequence[int | None]) -> tuple[Need, ...]:
    """What is still to be filled after `assign` has returned `filled`."""
    lacking = [(need, need.count - filled.count(at)) for at, need in enumerate(needs)]
    return tuple(Need(count=count, roles=need.roles) for need, count in lacking if count > 0)


def _in_sequence(needs: Sequence[Need], voices: Sequence[frozenset[str]]) -> list[int | None]:
    filled: list[int | None] = []
    current = 0
    for voice in voices:
        fits = current < len(needs) and not voice.isdisjoint(needs[current].roles)
        filled.append(current if fits else None)
        if fits and filled.count(current) == needs[current].count:
            current += 1
    return filled


def _in_any_order(needs: Sequence[Need], voices: Sequence[frozenset[str]]) -> list[int | None]:
    """Maximum bipartite matching by augmenting paths; a need is a node that takes `count`."""
    filled: list[int | None] = [None] * len(voices)

    def place(voice: int, tried: set[int]) -> bool:
        for at, need in enumerate(needs):
            if at in tried or voices[voice].isdisjoint(need.roles):
                continue
            tried.add(at)
            there = [other for other, its in enumerate(filled) if its == at]
            if len(there) < need.count or any(place(other, tried) for other in there):
                filled[voice] = at
                return True
        return False

    for voice in range(len(voices)):
        place(voice, set())
    return filled


def both(policy: Sequence[Need], own: Sequence[Need], keep: str) -> tuple[Need, ...]:
    """Needs whose filling fills the policy's and a workflow's own, each with distinct people.

    A workflow's own need that has a role in common with one of the policy's is narrowed to the
    common roles and counts for both. What the policy asks for beyond that is added.

    Args:
        keep: whose order is kept: `policy`, `own`, or `each` where both are sequences, which then
            follow one another.

    Raises:
        ConfigurationError: more people would be needed than a rule can ask for.
    """
    if keep == "each":
        return tuple(own) if list(policy) == list(own) else (*policy, *own)
    pieces: list[tuple[tuple[int, int], Need]] = []
    free = [need.count for need in own]
    for i, base in enumerate(policy):
        lacking, home = base.count, None
        for j, need in enumerate(own):
            common = tuple(role for role in base.roles if role in need.roles)
            taken = min(lacking, free[j])
            if common and home is None:
                home = (j, common)
            if common and taken:
                pieces.append(((i, j), Need(count=taken, roles=common)))
                lacking, free[j] = lacking - taken, free[j] - taken
        if lacking:
            j, roles = home or (len(own), base.roles)
            pieces.append(((i, j), Need(count=lacking, roles=roles)))
    fit = {role for base in policy for role in base.roles}
    for j, need in enumerate(own):
        if free[j]:
            roles = tuple(role for role in need.roles if role in fit) or need.roles
            pieces.append(((len(policy), j), Need(count=free[j], roles=roles)))
    pieces.sort(key=lambda piece: piece[0] if keep == "policy" else piece[0][::-1])
    return _merged([need for _, need in pieces])


def _merged(needs: Sequence[Need]) -> tuple[Need, ...]:
    """Neighbours that ask for the same roles as one."""
    merged: list[Need] = []
    for need in needs:
        if merged and merged[-1].roles == need.roles:
            count = merged[-1].count + need.count
            if count > _MOST:
                raise ConfigurationError(
                    f"The policy's approval and the workflow's together need {count} people with "
                    f"the role {' or '.join(need.roles)}; at most {_MOST} can be asked for."
                )
            merged[-1] = Need(count=count, roles=need.roles)
        else:
            merged.append(need)
    return tuple(merged)
