"""What the tests of signatures ask for, and what is done to its plans."""

from __future__ import annotations

from typing import Any

from core.state import AIWorkflow
from tests.core.workflows.office import ANN, BEN, CARL, DORA, EVE
from tests.core.workflows.parts import step, workflow
from tests.core.workflows.signing_model import Rule

PEOPLE = (ANN, BEN, CARL, DORA, EVE)
GROUPS = ("oncall", "leads", "security")
ANYBODY, SIGNER, SECURITY = (
    frozenset({"approver", "lead"}),
    frozenset({"approver"}),
    frozenset({"security"}),
)
_ALWAYS = {"name": "all week", "from": "Mon 00:00", "to": "Mon 00:00"}
RULES: dict[str, tuple[Rule, list[dict[str, Any]]]] = {
    "one": (Rule((ANYBODY,)), []),
    "two": (
        Rule((ANYBODY, ANYBODY), hours=1),
        [{"count": 2, "roles": ["approver", "lead"], "expires_after": "1h"}],
    ),
    "both": (
        Rule((SIGNER, SECURITY), hours=1),
        [{"needs": [{"roles": ["approver"]}, {"roles": ["security"]}], "expires_after": "1h"}],
    ),
    "in-order": (
        Rule((SIGNER, SECURITY), in_order=True),
        [{"needs": [{"roles": ["approver"]}, {"roles": ["security"]}], "sequential": True}],
    ),
    "typed": (
        Rule((SIGNER,), phrase=True, hours=1),
        [{"roles": ["approver"], "phrase": True, "expires_after": "1h"}],
    ),
    "frozen": (Rule((ANYBODY,), frozen=True), [{"type": "freeze", "windows": [_ALWAYS]}]),
}
REASON = "Nobody else is awake"
EVIL = "what nobody has signed"


def workflows() -> list[AIWorkflow]:
    """One for each rule: an effect, a pause for a person, another effect."""
    return [
        workflow(
            step(line="${parameters.run} first"),
            {"id": "look", "name": "Look at it", "manual": "Is it well?"},
            step(step_id="second", line="${parameters.run} second"),
            id=name,
            parameters={"run": {"description": "the run"}},
            guardrails=[{"type": "approval", **g} if "type" not in g else g for g in own],
        )
        for name, (_, own) in RULES.items()
    ]


def edits() -> dict[str, Any]:
    """What somebody who can write to the tables might do to a plan."""

    def line(plan: dict[str, Any]) -> None:
        plan["steps"][0]["arguments"]["line"] = EVIL

    def later_line(plan: dict[str, Any]) -> None:
        plan["steps"][2]["arguments"]["line"] = EVIL

    def needs(plan: dict[str, Any]) -> None:
        plan["guardrails"][0]["needs"] = [{"count": 1, "roles": ["engineer"]}]

    def four_eyes(plan: dict[str, Any]) -> None:
        plan["guardrails"][0]["four_eyes"] = False

    def expiry(plan: dict[str, Any]) -> None:
        plan["guardrails"][0]["expires_after"] = "P30D"

    def guardrails(plan: dict[str, Any]) -> None:
        plan["guardrails"] = []

    def requester(plan: dict[str, Any]) -> None:
        plan["requester"] = EVE

    def identity(plan: dict[str, Any]) -> None:
        plan["run_id"] = "0" * 12

    made = (line, later_line, needs, four_eyes, expiry, guardrails, requester, identity)
    return {edit.__name__: edit for edit in made}
