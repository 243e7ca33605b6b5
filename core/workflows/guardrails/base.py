"""What a guardrail is: a rule shown before execution and checked again at execution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Protocol, Self

from pydantic import JsonValue

from core.calendars.reader import CalendarEvent
from core.errors import InvalidRequestError
from core.records import Frozen, Instant, Risk
from core.workflows.actions import ActionRegistry
from core.workflows.signatures import Signature
from core.workflows.template import (
    ExpressionError,
    Types,
    check_text,
    compile_expression,
    render,
    sole_expression,
    templates,
)

PLAIN = ("string", "integer", "number")
"""Types of expressions that can stand for a text."""


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

    async def calendar(self, file: str, timezone: str) -> tuple[CalendarEvent, ...]:
        """What happens around now in an iCalendar file of the configuration folder.

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


@dataclass(frozen=True)
class Written:
    """What `countersign check` knows of the workflow file in which a guardrail stands.

    Attributes:
        folder: of the configuration.
        parameters: the workflow's, each with the name of its type.
        targets: parameters that name what is touched.
        calls: actions that its steps name, those in groups included.
        actions: all there are.
    """

    folder: Path
    parameters: Mapping[str, str]
    targets: tuple[str, ...]
    calls: tuple[str, ...]
    actions: ActionRegistry


def filled(template: str, scope: Mapping[str, JsonValue]) -> str:
    """A text of a guardrail with its `${parameters.…}` filled in.

    Raises:
        InvalidRequestError: it refers to what is not there, or to what is not plain text.
    """
    value = render(template, scope, frozenset())
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise InvalidRequestError(f"{template} in a guardrail must be a text or a number.")
    return str(value)


def type_problems(template: str, written: Written, wanted: tuple[str, ...]) -> Iterator[str]:
    """Where a text that is one expression is known to give none of the types `wanted`."""
    try:
        source = sole_expression(template)
        if source is None:
            return
        found = compile_expression(source, Types(parameters=written.parameters)).type
    except ExpressionError:
        return  # said by `Guardrail.problems`
    if found not in {*wanted, "any"}:
        yield f"{source}: must be of type {' or '.join(wanted)}, but is {found}."


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

    def problems(self, written: Written) -> Iterator[str]:
        """What does not fit the workflow or the integrations, as `field: what and the mend`.

        Here: `${…}` that name what is not there.
        """
        fields = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for place, text in templates(fields):
            field = ".".join(str(part) for part in place)
            for problem in check_text(text, Types(parameters=written.parameters)):
                yield f"{field}: {problem}"

    def claims(self, situation: Situation) -> Claims:  # noqa: ARG002
        """What the run takes when it begins."""
        return Claims()

    def _not_looked(self) -> GuardrailResult:
        """What holds before anybody has looked: nothing may begin."""
        return self._result(GuardrailState.WAITING, "Not looked at yet.")

    def _result(self, state: GuardrailState, evidence: str) -> GuardrailResult:
        return GuardrailResult(description=self.describe(), state=state, evidence=evidence)
