"""Grants: default deny, by role, workflow and channel; and the reasons that are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import CountersignError, NotAllowedError
from core.security.permissions import Permissions
from core.security.policy import Policy, Right, Role, Roles
from tests.core.workflows.parts import workflow

OPS, LEAD, BOSS, NOBODY = "U1OPS", "U2LEAD", "U3BOSS", "U9NOBODY"
CHANNELS = {"C1": "#deploys", "C2": "#payments", "C3": "#payments-eu"}


class NoGroups:
    """Nobody is in a group."""

    async def group_members(self, handle: str) -> frozenset[str]:
        return frozenset({BOSS} if handle == "bosses" else ())


async def name_of(channel: str) -> str:
    if channel not in CHANNELS:
        raise CountersignError("Slack cannot be asked.")
    return CHANNELS[channel]


def permissions(*grants: dict[str, Any], **changes: Any) -> Permissions:
    policy = Policy.model_validate(
        {
            "roles": {
                "operator": Role(users=(OPS,)),
                "lead": Role(users=(LEAD,)),
                "boss": Role(groups=("bosses",)),
            },
            "grants": list(grants),
            "approval": {
                "change": {"roles": ["lead", "boss"]},
                "destructive": {
                    "needs": [{"roles": ["lead"]}, {"roles": ["boss"]}],
                    "sequential": True,
                },
            },
            **changes,
        }
    )
    made = workflow(id="restricted", start=["lead"])
    return Permissions(policy, Roles(policy, NoGroups()), name_of, {"restricted": made})


START_PAYMENTS = {
    "allow": ["start"],
    "roles": ["operator"],
    "workflows": ["pay-*"],
    "channels": ["#payments*"],
}
APPROVE_ALL = {"allow": ["approve"], "roles": ["lead"]}


@pytest.mark.parametrize(
    ("user", "right", "where", "channel", "allowed"),
    [
        (OPS, Right.START, "pay-out", "C2", True),
        (OPS, Right.START, "pay-out", "C3", True),
        (OPS, Right.START, "pay-out", "#payments", True),
        (OPS, Right.START, "pay-out", "C1", False),
        (OPS, Right.START, "pay-out", "D1", False),
        (OPS, Right.START, "pay-out", None, False),
        (OPS, Right.START, "pay-out", "C9UNKNOWN", False),
        (OPS, Right.START, "repay-out", "C2", False),
        (OPS, Right.SEE, "pay-out", "C2", True),
        (OPS, Right.APPROVE, "pay-out", "C2", False),
        (OPS, Right.ADMINISTER, "pay-out", "C2", False),
        (LEAD, Right.APPROVE, "anything", "C9UNKNOWN", True),
        (LEAD, Right.SEE, "anything", None, True),
        (LEAD, Right.START, "pay-out", "C2", False),
        (NOBODY, Right.SEE, "pay-out", "C2", False),
        ("trigger:ci", Right.START, "pay-out", "C2", False),
    ],
)
async def test_only_what_a_grant_allows_is_allowed(
    user: str, right: Right, where: str, channel: str | None, allowed: bool
) -> None:
    rules = permissions(START_PAYMENTS, APPROVE_ALL)
    assert (await rules.ruling(user, right, where, channel)).allowed is allowed
    assert await rules.may(user, right, where, channel) is allowed
    if allowed:
        await rules.require(user, right, where, channel, "do it")
    else:
        with pytest.raises(NotAllowedError):
            await rules.require(user, right, where, channel, "do it")


async def test_a_refusal_names_the_roles_and_the_file_or_that_nobody_may() -> None:
    rules = permissions(START_PAYMENTS, APPROVE_ALL)
    with pytest.raises(NotAllowedError, match=r"To pay you need the role operator \(policy\.yaml"):
        await rules.require(LEAD, Right.START, "pay-out", "C2", "pay")
    with pytest.raises(NotAllowedError, match=r"Nobody may pay in #deploys: policy\.yaml"):
        await rules.require(OPS, Right.START, "pay-out", "C1", "pay")


async def test_a_workflows_own_start_narrows_the_grant_and_never_replaces_it() -> None:
    everywhere = {"allow": ["start"], "roles": ["operator", "lead"]}
    rules = permissions(everywhere)
    assert await rules.may(LEAD, Right.START, "restricted", None)
    refused = await rules.ruling(OPS, Right.START, "restricted", None)
    assert (refused.allowed, refused.reasons) == (
        False,
        ("restricted itself may be started by lead only, which is not held",),
    )
    with pytest.raises(NotAllowedError, match="To start it you need the role lead "):
        await rules.require(OPS, Right.START, "restricted", None, "start it")
    without = permissions({"allow": ["start"], "roles": ["operator"]})
    assert not await without.may(LEAD, Right.START, "restricted", None)
    with pytest.raises(NotAllowedError, match="need the role operator and the role lead "):
        await without.require(LEAD, Right.START, "restricted", None, "start it")


async def test_a_ruling_gives_the_grant_the_role_and_what_makes_them_hold_it() -> None:
    rules = permissions(START_PAYMENTS, {"allow": ["administer"], "roles": ["boss"]})
    boss = await rules.ruling(BOSS, Right.ADMINISTER, "pay-out", None)
    assert boss.reasons == (
        "grants[1] of policy.yaml allows administer to boss, held as a member of @bosses",
    )
    nobody = await rules.ruling(NOBODY, Right.START, "pay-out", "C2")
    assert nobody.reasons == (
        "policy.yaml allows start on pay-out in #payments to operator; holds none",
    )
    none = await rules.ruling(BOSS, Right.APPROVE, "pay-out", None)
    assert none.reasons == (
        "no grant of policy.yaml allows approve on pay-out outside channels to anybody",
    )


async def test_everything_about_one_person_and_one_workflow_is_explained(tmp_path: Path) -> None:
    rules = permissions(
        START_PAYMENTS,
        APPROVE_ALL,
        break_glass={"roles": ["boss"], "channel": "#deploys"},
    )
    assert await rules.explain(LEAD, workflow(id="pay-out"), "C2") == [
        f"{LEAD} and pay-out in #payments:",
        "- holds the role lead, as listed under `users`",
        "- may see: grants[1] of policy.yaml allows see to lead, held as listed under `users`",
        (
            "- may not start: policy.yaml allows start on pay-out in #payments to operator; "
            "holds only lead"
        ),
        (
            "- may approve: grants[1] of policy.yaml allows approve to lead, "
            "held as listed under `users`"
        ),
        (
            "- may not administer: no grant of policy.yaml allows administer on pay-out in "
            "#payments to anybody"
        ),
        "- a run of risk read needs no countersignature",
        (
            "- a run of risk change: Countersigned by 1 person with the role lead or boss, not the "
            "requester; can sign as 1 person with the role lead or boss, except a run of their own"
        ),
        (
            "- a run of risk destructive: Countersigned by 1 person with the role lead, then "
            "1 person with the role boss, not the requester; can sign as 1 person with the role "
            "lead, except a run of their own"
        ),
        "- may not break the glass: that needs the role boss",
    ]
    nobody = await rules.explain(NOBODY, workflow(id="pay-out"), None)
    assert nobody[:2] == [
        f"{NOBODY} and pay-out outside channels:",
        "- holds no role of policy.yaml",
    ]
    assert not any(line.startswith("- may ") and "not" not in line for line in nobody)
