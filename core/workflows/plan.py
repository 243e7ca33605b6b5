"""Plans: one workflow with its arguments filled in, exactly what will run.

The digest is SHA-256 over the plan's canonical JSON (RFC 8785); people sign the digest.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from core.canonical import canonical_digest
from core.records import Frozen, Idempotency, Provenance, Risk, Value
from core.workflows.definition import StepKind
from core.workflows.guardrails import AnyGuardrail
from core.workflows.template import references


class PlannedArgument(Frozen):
    """A workflow parameter's value and where it came from."""

    value: Value
    provenance: Provenance


class PlannedRetry(Frozen):
    """As `definition.Retry`, in seconds."""

    attempts: int
    backoff_s: float
    factor: float
    longest_s: float


class PlannedStep(Frozen):
    """One step as it will run: an action, a wait, or something that a person does.

    Attributes:
        id: unique in the plan; inside a for-each with the item, `deploy[web-1]`.
        action: empty where it is none.
        when: the condition, where it is known only when it is the step's turn.
        arguments: rendered; only expressions about earlier steps are left for run time. Of a
            manual step, what is shown to the person.
        untrusted: what in it no person of the team wrote, in words for the card:
            `commit (webhook field)`, `steps.ask.text (model output)`.
        description: one line that says what will be done.
        preview: output of the dry run, where the action has one.
        roles: who may confirm a manual step.
        each: the item of the for-each that it is in.
        undo: position in the plan's steps of what takes it back.
        pin: digest of the action's definition, where that comes from outside.
    """

    id: str
    kind: StepKind = StepKind.ACTION
    name: str
    action: str
    risk: Risk
    idempotency: Idempotency
    when: str | None = None
    arguments: dict[str, JsonValue]
    untrusted: tuple[str, ...]
    description: str
    preview: str | None
    time_limit_s: float
    retry: PlannedRetry | None = None
    wait_s: float | None = None
    roles: tuple[str, ...] = ()
    each: str | None = None
    undo: int | None = None
    # Left out where there is none: plans that were signed before it was there keep their digest.
    pin: str | None = Field(default=None, exclude_if=lambda pin: pin is None)

    @property
    def late(self) -> bool:
        """Whether some of its arguments are known only when it is its turn."""
        return next(references(self.arguments), None) is not None


class One(Frozen):
    """A single step, by its position in the plan's steps."""

    type: Literal["one"] = "one"
    step: int


class Sequence(Frozen):
    """One after the other; the first that fails ends it."""

    type: Literal["sequence"] = "sequence"
    nodes: tuple[Node, ...]


class Parallel(Frozen):
    """All at once; where one fails, the others still come to their end."""

    type: Literal["parallel"] = "parallel"
    nodes: tuple[Node, ...]


class Rollout(Frozen):
    """A node for each item, `batch` at once, `pause_s` between batches; a failure ends it after
    its batch."""

    type: Literal["rollout"] = "rollout"
    nodes: tuple[Node, ...]
    batch: int
    pause_s: float


Node = Annotated[One | Sequence | Parallel | Rollout, Field(discriminator="type")]


class PlannedEscalation(Frozen):
    """Roles that are called, one after the other, every `after_s` while nobody has signed."""

    after_s: float
    roles: tuple[str, ...]


class Plan(Frozen):
    """What will run, for whom, under which guardrails.

    Attributes:
        definition: the workflow as it was when the plan was made, without its examples; the run
            finishes under it.
        steps: of the flow; after them those that undo, and those that follow a failure.
        flow: in which order they run.
        on_failure: what runs after a failure, when the undo steps are done.
    """

    run_id: str
    workflow: str
    name: str
    objective: str
    definition: dict[str, JsonValue]
    environment: str
    requester: str
    arguments: dict[str, PlannedArgument]
    targets: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    flow: Node
    on_failure: Node | None = None
    guardrails: tuple[AnyGuardrail, ...]
    escalation: PlannedEscalation | None = None

    @property
    def risk(self) -> Risk:
        """The highest risk of the steps."""
        return max((step.risk for step in self.steps), key=lambda risk: risk.rank)

    @property
    def digest(self) -> str:
        """`sha256:…` of the canonical JSON of everything above."""
        return canonical_digest(self.model_dump(mode="json", by_alias=True))
