"""Approval: enough of the right people have countersigned this very plan in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from core.records import Identifier, Instant
from core.workflows.definition import Duration
from core.workflows.guardrails.base import Guardrail, GuardrailResult, GuardrailState, Situation
from core.workflows.needs import Need, assign, both, left
from core.workflows.signatures import Decision, Signature


class Approval(Guardrail):
    """Distinct people fill every need before the time is over.

    A file may write one need in short: `count` and `roles` instead of `needs`.

    Attributes:
        needs: who must sign; one person counts for one need only.
        sequential: the needs are filled in order; otherwise in any.
        four_eyes: the requester's own signature does not count, nor one on their behalf.
        expires_after: from the making of the plan.
        remind_after: from the making of the plan; those who can still sign are called then.
        phrase: the signer types the workflow's id, so that nobody approves by a slip.
        delegable: roles for which somebody may stand in for a person who is away. In a file it
            narrows the policy's delegation; in a plan it is what holds, and nothing given is none.
    """

    overridable: ClassVar[bool] = True

    type: Literal["approval"] = "approval"
    needs: tuple[Need, ...] = Field(min_length=1, max_length=10)
    sequential: bool = False
    four_eyes: bool = True
    expires_after: Duration = Field(
        default=timedelta(hours=4), gt=timedelta(0), le=timedelta(days=365)
    )
    remind_after: Duration | None = Field(default=None, gt=timedelta(0), le=timedelta(days=365))
    phrase: bool = False
    delegable: tuple[Identifier, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not {"count", "roles"} & set(given):
            return given
        if "needs" in given:
            raise ValueError("give either 'needs', or 'count' and 'roles' for a single need")
        need = {key: given[key] for key in ("count", "roles") if key in given}
        rest = {key: value for key, value in given.items() if key not in need}
        return {**rest, "needs": (need,)}

    @property
    def roles(self) -> tuple[str, ...]:
        """Every role with which one can sign, in order."""
        return tuple(dict.fromkeys(role for need in self.needs for role in need.roles))

    @property
    def count(self) -> int:
        """How many people must sign in all."""
        return sum(need.count for need in self.needs)

    def describe(self) -> str:
        together = ", then " if self.sequential else " and "
        words = [together.join(need.describe() for need in self.needs)]
        if self.four_eyes:
            words.append("not the requester")
        if self.phrase:
            words.append("typing the workflow's id")
        return "Countersigned by " + ", ".join(words)

    def evaluate(self, situation: Situation) -> GuardrailResult:
        current = self._current(situation)
        denial = next((s for s in current if s.decision is Decision.DENY), None)
        if denial is not None:
            return self._result(GuardrailState.BLOCKED, f"Denied by {_name(denial)}.")
        counted, lacking = self._fill(situation)
        if not lacking:
            return self._result(GuardrailState.MET, "Signed by " + _names(counted) + ".")
        if situation.now >= self.expires_at(situation.created_at):
            return self._result(GuardrailState.BLOCKED, "Expired before enough people signed.")
        got = f"{len(counted)} of {self.count} signed"
        got += f" ({_names(counted)})" if counted else ""
        if others := [s for s in current if s not in counted]:
            got += f"; does not count: {_names(others)}"
        if len(self.needs) > 1:
            now = lacking[:1] if self.sequential else lacking
            got += "; missing: " + " and ".join(need.describe() for need in now)
        return self._result(GuardrailState.WAITING, got)

    def expires_at(self, created_at: Instant) -> Instant:
        """The moment from which no signature is taken any more."""
        return created_at + self.expires_after

    def missing(self, situation: Situation) -> tuple[Need, ...]:
        """What is still to be signed; where it goes in sequence, only what is next."""
        lacking = self._fill(situation)[1]
        return lacking[:1] if self.sequential else lacking

    def helps(self, situation: Situation, signature: Signature) -> bool:
        """Whether one more place is filled with this signature than without it."""
        without = self._fill(situation)[0]
        more = replace(situation, signatures=(*situation.signatures, signature))
        return len(self._fill(more)[0]) > len(without)

    def tightened(self, own: Approval) -> Approval:
        """This rule, the policy's, and a workflow's own at once: the stricter of each part.

        Raises:
            ConfigurationError: together they ask for more people than a rule can.
        """
        keep = "policy" if self.sequential and len(self.needs) > 1 else "own"
        if keep == "policy" and own.sequential and len(own.needs) > 1:
            keep = "each"
        return Approval(
            needs=both(self.needs, own.needs, keep),
            sequential=self.sequential or own.sequential,
            four_eyes=self.four_eyes or own.four_eyes,
            expires_after=min(self.expires_after, own.expires_after),
            remind_after=own.remind_after or self.remind_after,
            phrase=self.phrase or own.phrase,
            delegable=_narrower(self.delegable, own.delegable),
        )

    def standing_in(self, allowed: tuple[str, ...]) -> Approval:
        """This rule where the policy lets people stand in for holders of the roles `allowed`."""
        return self.model_copy(update={"delegable": _narrower(allowed, self.delegable) or None})

    def voice(self, signature: Signature, situation: Situation) -> frozenset[str]:
        """The roles with which a signature speaks: none where it does not count at all."""
        if signature.decision is not Decision.APPROVE:
            return frozenset()
        if self.four_eyes and situation.requester in {signature.user, signature.on_behalf}:
            return frozenset()
        if signature.on_behalf is None:
            return situation.roles.get(signature.user, frozenset())
        held = situation.roles.get(signature.on_behalf, frozenset())
        return held & frozenset(self.delegable or ())

    def _current(self, situation: Situation) -> list[Signature]:
        """Signatures of this digest that were given in time, oldest first."""
        deadline = self.expires_at(situation.created_at)
        given = [
            signature
            for signature in situation.signatures
            if signature.digest == situation.digest
            and signature.at < deadline
            and signature.decision is not Decision.BREAK_GLASS
        ]
        return sorted(given, key=lambda signature: (signature.at, signature.user))

    def _fill(self, situation: Situation) -> tuple[list[Signature], tuple[Need, ...]]:
        """The signatures that fill a place, and what is lacking.

        A signature uses up who signed and on whose behalf: of several that share a person, the
        first counts.
        """
        voices: list[tuple[Signature, frozenset[str]]] = []
        used: set[str] = set()
        for signature in self._current(situation):
            people = {signature.user, signature.on_behalf or signature.user}
            voice = self.voice(signature, situation)
            if used.isdisjoint(people) and not voice.isdisjoint(self.roles):
                voices.append((signature, voice))
                used |= people
        filled = assign(self.needs, [voice for _, voice in voices], self.sequential)
        counted = [s for (s, _), need in zip(voices, filled, strict=True) if need is not None]
        return counted, left(self.needs, filled)


def _narrower(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The roles that are in both; None restricts nothing."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(role for role in one if role in other)


def _name(signature: Signature) -> str:
    away = signature.on_behalf
    return f"{signature.user} for {away}" if away else signature.user


def _names(signatures: list[Signature]) -> str:
    return ", ".join(dict.fromkeys(_name(signature) for signature in signatures))
