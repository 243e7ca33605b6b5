"""Records to draw, with everything hostile that an outsider could put into them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from core.records import Idempotency, Place, Provenance, Risk
from core.security.policy import Role
from core.workflows.guardrails import Approval, GuardrailResult, GuardrailState
from core.workflows.plan import Plan, PlannedArgument, PlannedStep
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.signatures import Decision, Signature

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ROLES = {"approver": Role(groups=("oncall",))}
HOSTILE = (
    "<!channel> <!here|x> <@U0BOB> <#C1> <https://evil.example/?s=1|ok> @here @everyone "
    "[x](https://evil.example/a) ![i](https://evil.example/i.png) "
    "```</code>``` *b* &lt;!channel&gt;"
)


def plan(hostile: str = HOSTILE, steps: int = 2, **changes: Any) -> Plan:
    """A plan with untrusted values in it."""
    step = PlannedStep(
        id="revert",
        name=f"Revert {hostile}"[:120],
        action="git.revert",
        risk=Risk.CHANGE,
        idempotency=Idempotency.KEYED,
        arguments={"commit": hostile, "options": {"force": False}},
        untrusted=("commit",),
        description=f"Revert {hostile}",
        preview=f"- line\n+ {hostile}",
        time_limit_s=60,
    )
    fields: dict[str, Any] = {
        "run_id": "a1b2c3d4e5f6",
        "workflow": "revert-commit",
        "name": "Revert a commit",
        "objective": "The broken commit is reverted.",
        "definition_digest": "sha256:" + "0" * 64,
        "environment": "production",
        "requester": "U0ALICE",
        "arguments": {
            "commit": PlannedArgument(
                value=hostile[:500], provenance=Provenance(kind="webhook", detail="github head_sha")
            ),
            "reason": PlannedArgument(
                value=hostile[:500], provenance=Provenance(kind="model", detail="summary")
            ),
            "repository": PlannedArgument(
                value="shop", provenance=Provenance(kind="person", detail="/ops run, U0ALICE")
            ),
        },
        "targets": ("shop", hostile[:300]),
        "steps": tuple(step.model_copy(update={"id": f"s{n}"}) for n in range(steps)),
        "guardrails": (Approval(roles=("approver",), count=2),),
    }
    return Plan(**(fields | changes))


def run(state: RunState, hostile: str = HOSTILE, **changes: Any) -> Run:
    """A run in a state, with signatures, progress and a program's output."""
    made = changes.pop("plan", None) or plan(hostile)
    progress = {
        RunState.AWAITING: StepState.PENDING,
        RunState.APPROVED: StepState.PENDING,
        RunState.RUNNING: StepState.RUNNING,
        RunState.ATTENTION: StepState.UNKNOWN,
        RunState.SUCCEEDED: StepState.SUCCEEDED,
        RunState.FAILED: StepState.FAILED,
    }.get(state, StepState.SKIPPED)
    steps = tuple(
        StepProgress(
            step_id=step.id,
            state=progress,
            attempts=1,
            started_at=NOW - timedelta(seconds=75),
            finished_at=NOW - timedelta(seconds=5),
            summary=f"Did {hostile}",
            output=f"$ program\n{hostile}\n" * 40,
            link="https://ci.example/job/1",
        )
        for step in made.steps
    )
    fields: dict[str, Any] = {
        "id": made.run_id,
        "plan": made,
        "digest": made.digest,
        "state": state,
        "requester": "U0ALICE",
        "origin": f"GitHub: CI failed on {hostile}"[:300],
        "place": Place(channel="C0DEPLOYS"),
        "message": None,
        "created_at": NOW - timedelta(minutes=5),
        "updated_at": NOW,
        "version": 1,
        "reason": f"Because {hostile}" if state.final else "",
        "signatures": (
            Signature(
                user="U0BOB", digest=made.digest, decision=Decision.APPROVE, comment=hostile, at=NOW
            ),
        ),
        "steps": steps,
        "guardrails": (
            GuardrailResult(
                description="Countersigned by 2 people with the role approver",
                state=GuardrailState.WAITING,
                evidence="1 of 2 signed (U0BOB)",
            ),
            GuardrailResult(
                description="Outside the freeze",
                state=GuardrailState.MET,
                evidence="No freeze now.",
            ),
        ),
    }
    return Run(**(fields | changes))
