"""What a guardrail is: a rule shown before execution and checked again at execution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.records import Frozen, Instant, Risk
from core.workflows.signatures import Signature


class GuardrailState(StrEnum):
    """MET lets the run go on, WAITING may still become met, BLOCKED forbids it now."""

    MET = "met"
    WAITING = "waiting"
    BLOCKED = "blocked"


class GuardrailResult(Frozen):
    """A guardrail's state and the evidence for it, in words for the card."""

    description: str
    state: GuardrailState
    evidence: str


@dataclass(frozen=True)
class Situation:
    """Everything a guardrail may look at.

    Attributes:
        digest: of the plan as it is now; signatures of other digests count for nothing.
        roles: for each signer the roles that they hold now.
    """

    now: Instant
    digest: str
    risk: Risk
    environment: str
    requester: str
    created_at: Instant
    signatures: tuple[Signature, ...]
    roles: Mapping[str, frozenset[str]]


class Guardrail(Frozen, ABC):
    """One rule. Subclasses are frozen data with two pure methods."""

    @abstractmethod
    def describe(self) -> str:
        """The rule in one line, for the card."""

    @abstractmethod
    def evaluate(self, situation: Situation) -> GuardrailResult:
        """The rule's state in `situation`."""

    def _result(self, state: GuardrailState, evidence: str) -> GuardrailResult:
        return GuardrailResult(description=self.describe(), state=state, evidence=evidence)
