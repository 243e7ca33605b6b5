"""Records to draw, with everything hostile that an outsider could put into them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.blocks.run_card import CardContext
from core.records import Idempotency, Place, Provenance, Risk
from core.security.policy import Role
from core.workflows.definition import StepKind
from core.workflows.guardrails import Approval, GuardrailResult, GuardrailState
from core.workflows.needs import Need
from core.workflows.plan import (
    One,
    Parallel,
    Plan,
    PlannedArgument,
    PlannedRetry,
    PlannedStep,
    Rollout,
    Sequence,
)
from core.workflows.run import Run, RunState, StepProgress, StepState
from core.workflows.signatures import Decision, Signature

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CARD = CardContext(roles={"approver": Role(groups=("oncall",)), "lead": Role(groups=("leads",))})
APPROVAL = Approval(needs=(Need(roles=("approver",), count=2),))
HOSTILE = (
    "<!channel> <!here|x> <@U0BOB> <#C1> <https://evil.example/?s=1|ok> @here @everyone "
    "[x](https://evil.example/a) ![i](https://evil.example/i.png) "
    "```</code>``` *b* &lt;!channel&gt;"
)

_RETRY = PlannedRetry(attempts=3, backoff_s=10, factor=2, longest_s=300)


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
        "definition": {"id": "revert-commit"},
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
        "flow": Sequence(nodes=tuple(One(step=n) for n in range(steps))),
        "guardrails": (APPROVAL,),
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


def step(name: str, **fields: Any) -> PlannedStep:
    """A step with as little as it can have."""
    usual: dict[str, Any] = {
        "id": name.lower().replace(" ", "-"),
        "name": name,
        "action": "host.deploy",
        "risk": Risk.CHANGE,
        "idempotency": Idempotency.KEYED,
        "arguments": {},
        "untrusted": (),
        "description": f"{name} it",
        "preview": None,
        "time_limit_s": 60,
    }
    return PlannedStep(**(usual | fields))


def staged(hosts: int = 6, **changes: Any) -> Plan:
    """A plan with steps of every kind: build, test and scan, a rollout, a wait, a person, undo."""
    steps = [
        step("Build", action="ci.build", retry=_RETRY, when="parameters.force"),
        step("Test", action="ci.test"),
        step("Scan", action="ci.scan"),
    ]
    rollout = []
    for number in range(1, hosts + 1):
        host = f"web-{number}"
        for name in ("Deploy", "Check"):
            rollout.append(len(steps))
            arguments = {"host": host}
            more = {"undo": 4 + 2 * hosts + number} if name == "Deploy" else {}
            steps.append(
                step(
                    name,
                    id=f"{name.lower()}[{host}]",
                    each=host,
                    arguments=arguments,
                    description=f"{name} {host}",
                    **more,
                )
            )
    items = [
        Sequence(nodes=(One(step=first), One(step=first + 1)))
        for first in range(rollout[0], rollout[-1], 2)
    ]
    wait = step("Settle", kind=StepKind.WAIT, action="", wait_s=600)
    look = step(
        "Look",
        kind=StepKind.MANUAL,
        action="",
        roles=("lead",),
        arguments={"dashboard": "errors"},
        description="Look at the dashboard.",
    )
    undo = [
        step(
            "Undo: Deploy",
            id=f"deploy[web-{number}].undo",
            action="host.restore",
            each=f"web-{number}",
            arguments={"host": f"web-{number}"},
        )
        for number in range(1, hosts + 1)
    ]
    tell = step("Tell", action="chat.post", risk=Risk.READ)
    after = (One(step=len(steps)), One(step=len(steps) + 1))
    steps += [wait, look, *undo, tell]
    first = One(step=0)
    at_once = Parallel(nodes=(One(step=1), One(step=2)))
    hosts_in_turn = Rollout(nodes=tuple(items), batch=2, pause_s=30)
    fields: dict[str, Any] = {
        "steps": tuple(steps),
        "flow": Sequence(nodes=(first, at_once, hosts_in_turn, *after)),
        "on_failure": Sequence(nodes=(One(step=len(steps) - 1),)),
        "arguments": {},
        "targets": tuple(f"web-{number}" for number in range(1, hosts + 1)),
    }
    return plan("x").model_copy(update=fields | changes)


def progressed(made: Plan, states: dict[str, StepState], **more: Any) -> tuple[StepProgress, ...]:
    """Progress of a plan's steps: pending, but for those named."""
    return tuple(
        StepProgress(
            step_id=one.id,
            state=states.get(one.id, StepState.PENDING),
            **{"attempts": int(one.id in states), **more.get(one.id, {})},
        )
        for one in made.steps
    )
