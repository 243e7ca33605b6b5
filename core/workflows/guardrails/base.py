"""What a guardrail is: a rule shown before execution and checked again at execution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol, Self

from pydantic import JsonValue

from core.records import Frozen, Instant, Risk
from core.workflows.signatures import Signature


class GuardrailState(StrEnum):
    """MET lets the run go on, WAITING may still become met, BLOCKED forbids it now. OVERRIDDEN:
    somebody broke the glass, and this rule gives way to that."""

    MET = "met"
    WAITING = "waiting"
    BLOCKED = "blocked"
    OVERRIDDEN = "overridden"


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
        roles: for each signer, and each person on whose behalf one signed, the roles that they
            hold now.
        targets: what the plan touches.
        seen: what this guardrail's own `look` returned.
    """

    now: Instant
    run_id: str
    workflow: str
    digest: str
    risk: Risk
    environment: str
    requester: str
    created_at: Instant
    targets: tuple[str, ...]
    signatures: tuple[Signature, ...]
    roles: Mapping[str, frozenset[str]]
    seen: JsonValue = None


class Begun(Frozen):
    """Another run that has begun."""

    run_id: str
    at: Instant


class DryRun(Frozen):
    """What the dry run of a step says now; `problem` is empty where it succeeded.

    Attributes:
        step: the step's name.
        shown: what it said when the plan was made; it stands on the card and is signed.
    """

    step: str
    shown: str
    output: str
    problem: str


class CalendarEvent(Frozen):
    """One occurrence of an event of a calendar; `ends` is the first moment after it."""

    name: str
    starts: Instant
    ends: Instant


class Gate(Frozen):
    """A recorded verdict on a dataset or a model."""

    subject: str
    passed: bool
    evidence: str
    at: Instant
    expires_at: Instant | None = None


class World(Protocol):
    """What guardrails may ask about one run's surroundings. Nothing in it has an effect."""

    async def read(self, action: str, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Values, `summary` and `output` of a `read` action.

        Raises:
            CountersignError: it could not be read; the message says why.
        """
        ...

    async def begun(
        self, since: Instant, workflow: str | None = None, target: str | None = None
    ) -> list[Begun]:
        """Other runs that have begun since then, oldest first."""
        ...

    async def lock_holder(self, name: str) -> str | None:
        """The id of another run that holds this lock."""
        ...

    async def dry_run(self) -> list[DryRun]:
        """The dry runs of the plan's steps, done anew, for those that have one."""
        ...

    async def gate(self, kind: str, subject: str) -> Gate | None:
        """The newest recorded result of a dataset's or model's gate."""
        ...

    async def calendar(self, file: str, timezone: str) -> list[CalendarEvent]:
        """The events around now of an iCalendar file in the configuration folder.

        Args:
            timezone: of the times in it that have none of their own.

        Raises:
            CountersignError: it cannot be read; the message says why.
        """
        ...


class Rate(Frozen):
    """At most `limit` runs begin in `per_s` seconds, of a workflow, or on a target."""

    workflow: str | None
    target: str | None
    limit: int
    per_s: float


class Claims(Frozen):
    """What a run takes, all of it or nothing, in the transaction in which it begins.

    Attributes:
        locks: held until the run has ended.
    """

    locks: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()


class Guardrail(Frozen, ABC):
    """One rule. Subclasses are frozen data; `evaluate` is pure.

    A new one is one module in this package: a subclass with a `type` literal of its own.
    """

    overridable: ClassVar[bool] = False
    """Whether breaking the glass lets a run pass."""

    @abstractmethod
    def describe(self) -> str:
        """The rule in one line, for the card."""

    async def look(self, world: World, situation: Situation) -> JsonValue:  # noqa: ARG002
        """What must be asked for before `evaluate`; it comes back as `situation.seen`."""
        return None

    @abstractmethod
    def evaluate(self, situation: Situation) -> GuardrailResult:
        """The rule's state in `situation`."""

    def rendered(self, scope: Mapping[str, JsonValue]) -> Self:  # noqa: ARG002
        """The rule with its `${parameters.…}` filled in, when a plan is made."""
        return self

    def claims(self, situation: Situation) -> Claims:  # noqa: ARG002
        """What the run takes when it begins."""
        return Claims()

    def _result(self, state: GuardrailState, evidence: str) -> GuardrailResult:
        return GuardrailResult(description=self.describe(), state=state, evidence=evidence)
