"""Plans: one workflow with its arguments filled in, exactly what will run.

The digest is SHA-256 over the plan's canonical JSON (RFC 8785); people sign the digest.
"""

from __future__ import annotations

import hashlib

import rfc8785
from pydantic import JsonValue

from core.records import Frozen, Idempotency, Provenance, Risk, Scalar
from core.workflows.guardrails import AnyGuardrail


class PlannedArgument(Frozen):
    """A workflow parameter's value and where it came from."""

    value: Scalar
    provenance: Provenance


class PlannedStep(Frozen):
    """One step as it will run.

    Attributes:
        arguments: rendered; only `${steps.…}` references are left for run time.
        untrusted: names of workflow arguments in it that no person of the team wrote.
        description: one line that says what will be done.
        preview: output of the dry run, where the action has one.
    """

    id: str
    name: str
    action: str
    risk: Risk
    idempotency: Idempotency
    arguments: dict[str, JsonValue]
    untrusted: tuple[str, ...]
    description: str
    preview: str | None
    time_limit_s: float


class Plan(Frozen):
    """What will run, for whom, under which guardrails."""

    run_id: str
    workflow: str
    name: str
    objective: str
    definition_digest: str
    environment: str
    requester: str
    arguments: dict[str, PlannedArgument]
    targets: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    guardrails: tuple[AnyGuardrail, ...]

    @property
    def risk(self) -> Risk:
        """The highest risk of the steps."""
        return max((step.risk for step in self.steps), key=lambda risk: risk.rank)

    @property
    def digest(self) -> str:
        """`sha256:…` of the canonical JSON of everything above."""
        return canonical_digest(self.model_dump(mode="json", by_alias=True))


def canonical_digest(value: JsonValue) -> str:
    """SHA-256 over RFC 8785 canonical JSON, as `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(rfc8785.dumps(value)).hexdigest()
