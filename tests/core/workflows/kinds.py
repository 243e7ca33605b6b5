"""Workflows with each kind of step."""

from __future__ import annotations

from typing import Any

from core.state import AIWorkflow
from tests.core.workflows.parts import step, workflow

LINE = "${parameters.line}"
_PARAMETERS = {
    "line": {"description": "what to append"},
    "hosts": {"type": "list", "description": "where", "default": []},
}


def workflows() -> list[AIWorkflow]:
    """All of them; each takes `line`, which marks what it appends, and `hosts`."""
    return [
        _one(
            "rollout",
            _group("hosts", for_each="${parameters.hosts}", batch=2, pause="1s", steps=_on_host()),
            step(step_id="after", line=LINE + " after ${size(steps.deploy)}"),
            targets=["hosts"],
        ),
        _one(
            "branches",
            _group(
                "both",
                parallel=[
                    _group("left", steps=[_append("left-1"), _append("left-2")]),
                    _append("right"),
                ],
            ),
            _append("joined"),
        ),
        _one(
            "half",
            _group(
                "both",
                parallel=[
                    step("file.fail", "left"),
                    step("file.hang", "right", line=LINE + " right"),
                ],
            ),
            _append("joined"),
        ),
        _one(
            "chosen",
            step(step_id="known", line=LINE + " known", when="size(parameters.hosts) > 0"),
            _append("first"),
            _group(
                "maybe",
                when="steps.first.line.endsWith('first')",
                steps=[
                    step(step_id="no", line=LINE + " no", when="size(parameters.line) == 0"),
                    step(step_id="yes", line=LINE + " yes"),
                    step(step_id="never", line=LINE + " never", when="steps.yes.state == 'failed'"),
                ],
            ),
        ),
        _one(
            "wrong", _append("first"), step(step_id="second", line=LINE, when="steps.first.lin > 1")
        ),
        _one("patient", _append("before"), _wait("1s"), _append("behind")),
        _one("long", _append("before"), _wait("1d"), _append("behind")),
        _one(
            "manual",
            _append("before"),
            _manual(["lead"], show={"seen": "${steps.before.line}"}),
            step(step_id="behind", line="${steps.check.seen}, confirmed"),
        ),
        _one("manual-open", _manual([]), _append("behind")),
        _one("manual-short", _manual([], time_limit="1s"), _append("behind")),
        _one(
            "beside",
            _group(
                "both",
                parallel=[
                    _group("person", steps=[_manual([]), _append("confirmed")]),
                    step("file.hang", "hang", line=LINE + " hanging"),
                ],
            ),
        ),
        _one(
            "undone",
            _append("a", undo=_call(LINE + " undo ${steps.a.line}")),
            _append("b", undo=_call(LINE + " undo b")),
            _append("c"),
            step("file.fail", "d", undo=_call(LINE + " undo d")),
            on_failure=[step(step_id="tell", line=LINE + " told: ${steps.d.summary}")],
        ),
        _one(
            "undone-badly",
            _append("a", undo=_call(LINE + " undo a")),
            _append("b", undo={"action": "file.fail", "with": {"line": "x"}}),
            step("file.fail", "c"),
        ),
        _one(
            "undone-slowly",
            _append("a", undo={"action": "file.hang", "with": {"line": LINE + " undoing"}}),
            step("file.fail", "b"),
        ),
        _one("flaky", step("file.flaky", line=LINE, number=2, retry=_retry(3))),
        _one("hopeless", step("file.flaky", line=LINE, number=9, retry=_retry(3))),
        _one(
            "breakable",
            _append("before"),
            step("file.breakable", "second", line=LINE + " second"),
            on_failure=[step(step_id="tell", line=LINE + " told")],
        ),
        _one(
            "locked",
            step("file.hang", line=LINE),
            guardrails=[{"type": "lock", "name": "the file"}],
        ),
        _one(
            "look-locked",
            step("file.read", line=LINE),
            guardrails=[{"type": "lock", "name": "the lamp"}],
        ),
        _one(
            "long-locked",
            _wait("1d"),
            _append("behind"),
            guardrails=[{"type": "lock", "name": "the door"}],
        ),
        _one(
            "doubtful",
            step("model.muse", "ask", line=LINE + " model's idea"),
            _manual([], show={"seen": "${steps.ask.line}"}),
            _append("behind"),
            on_failure=[step(step_id="tell", line="${steps.check.seen}")],
        ),
        _one("changing", step(line=LINE)),
    ]


def _one(workflow_id: str, *steps: dict[str, Any], **fields: Any) -> AIWorkflow:
    return workflow(*steps, **{"id": workflow_id, "parameters": _PARAMETERS, **fields})


def _append(step_id: str, **extra: Any) -> dict[str, Any]:
    return step(step_id=step_id, line=f"{LINE} {step_id}", **extra)


def _call(line: str) -> dict[str, Any]:
    return {"action": "file.append", "with": {"line": line}}


def _retry(attempts: int) -> dict[str, Any]:
    return {"attempts": attempts, "backoff": "0s"}


def _group(step_id: str, **parts: Any) -> dict[str, Any]:
    return {"id": step_id, "name": step_id, **parts}


def _wait(duration: str) -> dict[str, Any]:
    return {"id": "pause", "name": "Wait", "wait": duration}


def _manual(roles: list[str], **extra: Any) -> dict[str, Any]:
    told = "Look at " + LINE
    return {"id": "check", "name": "Check it", "manual": told, "roles": roles, **extra}


def _on_host() -> list[dict[str, Any]]:
    return [
        step(step_id="deploy", line=LINE + " ${each}"),
        step(step_id="verify", line="${steps.deploy.line} verified"),
    ]
