"""Small real parts that these tests are made of: actions with an effect one can count, people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from core.records import Idempotency, Place, Provenance, Risk, Value
from core.security.policy import Grant, Policy, Right, Role
from core.state import AIWorkflow, ApplicationState
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionRegistry,
    ActionResult,
    OutcomeUnknownError,
)
from core.workflows.guardrails import Approval
from core.workflows.plan import PlannedArgument
from core.workflows.planning import Planner
from core.workflows.run import Run, RunState, StepProgress

ALICE, BOB, CAROL, DAVE, LEAD = "U0ALICE", "U0BOB", "U0CAROL", "U0DAVE", "U0LEAD"
DEPLOYS = Place(channel="#deploys", thread="1.0")
MADE = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
TYPED = Provenance(kind="person", detail=ALICE)
WEBHOOK = Provenance(kind="webhook", detail="github: event.title")


class LineArguments(BaseModel):
    """What to append, and how it shall go."""

    model_config = ConfigDict(extra="forbid")

    line: str
    number: int = 1
    dry_run: str = "fine"


class AppendLine(Action[LineArguments]):
    """Appends a line to a file: doing it twice shows."""

    name: ClassVar[str] = "file.append"
    summary: ClassVar[str] = "Append a line"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NONE
    arguments = LineArguments

    def __init__(self, file: Path) -> None:
        self.file = file
        self.contexts: list[ActionContext] = []

    def risk_of(self, arguments: LineArguments) -> Risk:
        return Risk.DESTRUCTIVE if arguments.line == "drop" else self.risk

    def describe(self, arguments: LineArguments) -> str:
        return f"Append “{arguments.line}”"

    async def preview(self, arguments: LineArguments) -> str | None:
        if arguments.dry_run == "fails":
            raise ActionError("the disk would be full")
        return f"+{arguments.line}"

    async def execute(self, arguments: LineArguments, context: ActionContext) -> ActionResult:
        self.contexts.append(context)
        self.append(arguments.line)
        return ActionResult(
            summary=f"Appended {arguments.line}.",
            output="x" * 30_000 if arguments.line == "long" else "a\x00b",
            values={"line": arguments.line, "deep": ["\x00"]},
            link="https://example.test/file",
        )

    def append(self, line: str) -> None:
        with self.file.open("a") as opened:
            opened.write(line + "\n")


class ReadLines(AppendLine):
    """Only looks."""

    name = "file.read"
    summary = "Read the file"
    risk: ClassVar[Risk] = Risk.READ

    async def execute(self, arguments: LineArguments, context: ActionContext) -> ActionResult:
        return ActionResult(summary=f"{len(lines(self.file))} lines")


class EraseFile(AppendLine):
    """Named as what it could do; the effect is a line all the same."""

    name = "file.erase"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE


class AppendOnce(AppendLine):
    """Its dry run fails once the line is there, as reverting a reverted commit would."""

    name = "file.append_once"

    async def preview(self, arguments: LineArguments) -> str | None:
        if arguments.line in lines(self.file):
            raise ActionError("the line is there already")
        return None


class FailFirst(AppendLine):
    """Cannot be done."""

    name = "file.fail"

    async def execute(self, arguments: LineArguments, context: ActionContext) -> ActionResult:
        raise ActionError("the file is write-protected")


class Flaky(AppendLine):
    """Cannot be done the first `number` times that a run asks for it."""

    name = "file.flaky"

    async def execute(self, arguments: LineArguments, context: ActionContext) -> ActionResult:
        before = len([c for c in self.contexts if c.key == context.key])
        if before < arguments.number:
            self.contexts.append(context)
            raise ActionError("not yet")
        return await super().execute(arguments, context)


class Breakable(AppendLine):
    """Cannot be done while it is broken."""

    name = "file.breakable"
    broken = False

    async def execute(self, arguments: LineArguments, context: ActionContext) -> ActionResult:
        if self.broken:
            raise ActionError("broken")
        return await super().execute(arguments, context)


class Muse(AppendLine):
    """A model writes what comes out."""

    name = "model.muse"
    risk: ClassVar[Risk] = Risk.READ
    output_kind: ClassVar[Literal["system", "model"]] = "model"


class BreakDown(AppendLine):
    """Has a bug."""

    name = "file.bug"

    async def execute(self, arguments: LineArguments, context: ActionContext) -> ActionResult:
        raise ZeroDivisionError("a bug in an action")


class LoseAnswer(AppendLine):
    """Is sent, and the answer is lost; from the second time on it is answered."""

    name = "file.lose"

    async def execute(self, arguments: LineArguments, context: ActionContext) -> ActionResult:
        self.contexts.append(context)
        self.append(arguments.line)
        if len([c for c in self.contexts if c.run_id == context.run_id]) == 1:
            raise OutcomeUnknownError("The answer was lost.")
        return ActionResult(summary="Answered.")


class Hang(AppendLine):
    """Has its effect and then goes on until it is stopped."""

    name = "file.hang"

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def execute(self, arguments: LineArguments, context: ActionContext) -> ActionResult:
        self.contexts.append(context)
        self.append(arguments.line)
        self.begun.set()
        await self.go_on.wait()
        return ActionResult(summary="Went on.")


class HangNaturally(Hang):
    """The same, but doing it twice would be no harm."""

    name = "file.hang_naturally"
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL


def actions(file: Path) -> dict[str, AppendLine]:
    """One of each, by name, all on one file."""
    kinds: tuple[Callable[[Path], AppendLine], ...] = (
        *(AppendLine, AppendOnce, ReadLines, EraseFile, FailFirst),
        *(BreakDown, LoseAnswer, Hang, HangNaturally, Flaky, Breakable, Muse),
    )
    made = [kind(file) for kind in kinds]
    return {action.name: action for action in made}


def registry(file: Path) -> ActionRegistry:
    """The same, as a registry."""
    return ActionRegistry(actions(file).values())


def lines(file: Path) -> list[str]:
    """What has been appended so far."""
    return file.read_text().splitlines() if file.exists() else []


class People:
    """Groups that a test can change while everything runs."""

    def __init__(self) -> None:
        self.groups = {
            "engineers": {ALICE, BOB, CAROL},
            "oncall": {ALICE, BOB, CAROL},
            "leads": {LEAD},
        }

    async def group_members(self, handle: str) -> frozenset[str]:
        return frozenset(self.groups.get(handle, ()))


def policy(**changes: Any) -> Policy:
    """Engineers start, on-call people countersign, leads administer."""
    rules: dict[str, Any] = {
        "roles": {
            "engineer": Role(groups=("engineers",)),
            "approver": Role(groups=("oncall",)),
            "lead": Role(groups=("leads",)),
        },
        "grants": (
            Grant(allow=(Right.START,), roles=("engineer", "lead")),
            Grant(allow=(Right.APPROVE,), roles=("approver", "lead")),
            Grant(allow=(Right.ADMINISTER,), roles=("lead",)),
        ),
        "approval": {
            Risk.CHANGE: Approval(roles=("approver", "lead"), expires_after=timedelta(hours=4)),
            Risk.DESTRUCTIVE: Approval(count=2, roles=("approver", "lead"), phrase=True),
        },
    }
    return Policy.model_validate(rules | changes)


def step(action: str = "file.append", step_id: str = "first", **given: JsonValue) -> dict[str, Any]:
    """A step as a workflow file has it."""
    extra = {key: given.pop(key) for key in ("time_limit", "when", "retry", "undo") if key in given}
    return {
        "id": step_id,
        "name": f"Do {step_id}",
        "action": action,
        "with": given or {"line": step_id},
        **extra,
    }


def workflow(*steps: dict[str, Any], **fields: Any) -> AIWorkflow:
    """A workflow as a file has it; its id is `note` unless given."""
    return AIWorkflow.model_validate(
        {
            "id": "note",
            "name": "Write a note",
            "objective": "The file has a line more.",
            "steps": list(steps) or [step()],
            **fields,
        }
    )


def state(folder: Path, *workflows: AIWorkflow, **parts: Any) -> ApplicationState:
    """A configuration of these workflows."""
    empty: dict[str, Any] = {
        kind: {}
        for kind in (
            *("models", "assistants", "integrations", "triggers", "schedules"),
            *("datasets", "training_profiles", "training_runs"),
        )
    }
    return ApplicationState(
        folder=folder,
        **{
            **empty,
            "policy": policy(),
            "workflows": {one.id: one for one in workflows},
            **parts,
        },
    )


def typed(**values: Value) -> dict[str, PlannedArgument]:
    """Arguments that a person typed."""
    return {name: PlannedArgument(value=v, provenance=TYPED) for name, v in values.items()}


async def new_run(folder: Path, run_id: str = "abcdef012345", **changes: object) -> Run:
    """A run that waits, with every kind of value in its plan."""
    made = workflow(
        step(line="${parameters.text}", number="${parameters.number}"),
        step(step_id="second", line="${steps.first.line}"),
        parameters={
            "text": {"description": "a"},
            "number": {"type": "number", "description": "b"},
        },
    )
    plan = await Planner(policy(), registry(folder)).plan(
        run_id, made, typed(text="ünïcode \u2028 \\u0000", number=5), ALICE
    )
    run = Run(
        id=run_id,
        plan=plan,
        digest=plan.digest,
        state=RunState.AWAITING,
        requester=ALICE,
        origin="a test",
        place=Place(channel="#deploys", thread="1.0"),
        message=None,
        created_at=MADE,
        updated_at=MADE,
        version=1,
        reason="",
        steps=tuple(StepProgress(step_id=one.id) for one in plan.steps),
    )
    return run.model_copy(update=changes)
