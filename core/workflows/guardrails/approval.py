"""Approval: enough of the right people have countersigned this very plan in time."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from core.records import Identifier, Instant
from core.workflows.definition import Duration
from core.workflows.guardrails.base import Guardrail, GuardrailResult, GuardrailState, Situation
from core.workflows.signatures import Decision, Signature


class Approval(Guardrail):
    """`count` distinct people who hold one of `roles` approve before the time is over.

    Attributes:
        four_eyes: the requester's own signature does not count.
        expires_after: from the making of the plan.
        phrase: the signer types the workflow's name, so that nobody approves by a slip.
    """

    type: Literal["approval"] = "approval"
    count: int = Field(default=1, ge=1, le=10)
    roles: tuple[Identifier, ...] = Field(min_length=1)
    four_eyes: bool = True
    expires_after: Duration = Field(
        default=timedelta(hours=4), gt=timedelta(0), le=timedelta(days=365)
    )
    phrase: bool = False

    def describe(self) -> str:
        people = "1 person" if self.count == 1 else f"{self.count} people"
        words = [f"{people} with the role {' or '.join(self.roles)}"]
        if self.four_eyes:
            words.append("not the requester")
        if self.phrase:
            words.append("typing the workflow's name")
        return "Countersigned by " + ", ".join(words)

    def evaluate(self, situation: Situation) -> GuardrailResult:
        current = self._current(situation)
        denial = next((s for s in current if s.decision is Decision.DENY), None)
        if denial is not None:
            return self._result(GuardrailState.BLOCKED, f"Denied by {denial.user}.")
        valid = [s for s in current if self._counts(s, situation)]
        if len({s.user for s in valid}) >= self.count:
            return self._result(GuardrailState.MET, "Signed by " + _names(valid) + ".")
        if situation.now >= self.expires_at(situation.created_at):
            return self._result(GuardrailState.BLOCKED, "Expired before enough people signed.")
        got = f"{len({s.user for s in valid})} of {self.count} signed"
        got += f" ({_names(valid)})" if valid else ""
        if others := [s for s in current if s not in valid]:
            got += f"; does not count: {_names(others)}"
        return self._result(GuardrailState.WAITING, got)

    def expires_at(self, created_at: Instant) -> Instant:
        """The moment from which no signature is taken any more."""
        return created_at + self.expires_after

    def tightened(self, other: Approval) -> Approval:
        """Both rules at once: the stricter of each part. Roles must be held in both."""
        return Approval(
            count=max(self.count, other.count),
            roles=tuple(role for role in self.roles if role in other.roles),
            four_eyes=self.four_eyes or other.four_eyes,
            expires_after=min(self.expires_after, other.expires_after),
            phrase=self.phrase or other.phrase,
        )

    def _current(self, situation: Situation) -> list[Signature]:
        """Signatures of this digest that were given in time."""
        deadline = self.expires_at(situation.created_at)
        return [
            signature
            for signature in situation.signatures
            if signature.digest == situation.digest and signature.at < deadline
        ]

    def _counts(self, signature: Signature, situation: Situation) -> bool:
        if self.four_eyes and signature.user == situation.requester:
            return False
        held = situation.roles.get(signature.user, frozenset())
        return signature.decision is Decision.APPROVE and not held.isdisjoint(self.roles)


def _names(signatures: list[Signature]) -> str:
    return ", ".join(dict.fromkeys(signature.user for signature in signatures))
