"""Who may do what: everything that is not allowed is denied."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError, NotAllowedError
from core.records import Risk
from core.security.policy import DelegationRule, Policy, Role, Roles, effective_approval
from core.workflows.guardrails import Approval
from core.workflows.needs import Need


class Groups:
    """User groups that can change."""

    def __init__(self, **groups: set[str]) -> None:
        self.groups = groups

    async def group_members(self, handle: str) -> frozenset[str]:
        return frozenset(self.groups.get(handle, ()))


def policy(**changes: Any) -> Policy:
    rules: dict[str, Any] = {
        "roles": {
            "operator": {"groups": ["engineers", "students"]},
            "approver": {"groups": ["oncall"], "users": ["U5"]},
            "nobody": {},
        },
        "grants": [
            {"allow": ["start"], "roles": ["operator"]},
            {"allow": ["administer", "approve"], "roles": ["approver"]},
        ],
        "approval": {
            "change": {"type": "approval", "roles": ["approver"]},
            "destructive": {"type": "approval", "count": 2, "roles": ["approver"]},
        },
    }
    return Policy.model_validate(rules | changes)


async def test_a_role_is_held_by_listed_people_and_members_of_its_groups() -> None:
    roles = Roles(policy(), Groups(engineers={"U1"}, students={"U2"}, oncall={"U1", "U3"}))
    assert await roles.of("U1") == {"operator", "approver"}
    assert await roles.of("U2") == {"operator"}
    assert await roles.of("U5") == {"approver"}
    assert await roles.of("U9") == frozenset()


async def test_a_change_of_a_group_counts_at_once() -> None:
    groups = Groups(oncall={"U1"})
    roles = Roles(policy(), groups)
    assert "approver" in await roles.of("U1")
    groups.groups["oncall"].clear()
    assert await roles.of("U1") == frozenset()


async def test_who_holds_none_of_the_roles_is_refused_with_those_needed() -> None:
    roles = Roles(policy(), Groups(engineers={"U1"}))
    await roles.require("U1", ("approver", "operator"), "start it")
    with pytest.raises(NotAllowedError, match="To start it you need the role approver or nobody"):
        await roles.require("U1", ("approver", "nobody"), "start it")
    with pytest.raises(NotAllowedError):
        await roles.require("U1", (), "do what nobody may")


@pytest.mark.parametrize("who", ["trigger:ci", "schedule:weekly", "", "operator", "@engineers"])
async def test_what_is_no_person_holds_no_role(who: str) -> None:
    roles = Roles(policy(), Groups(engineers={"U1"}))
    assert await roles.of(who) == frozenset()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"approval": {}}, "there must be an approval rule for change and destructive"),
        (
            {"approval": {"change": {"roles": ["approver"]}}},
            "there must be an approval rule for destructive",
        ),
        (
            {"approval": {risk: {"roles": ["approver"]} for risk in Risk}},
            "'read' needs no approval; remove it",
        ),
        ({"roles": {}}, "roles"),
        ({"grants": []}, "grants"),
        ({"grants": [{"allow": [], "roles": ["approver"]}]}, "allow"),
        ({"grants": [{"allow": ["start"], "roles": []}]}, "roles"),
        ({"grants": [{"allow": ["everything"], "roles": ["approver"]}]}, "'administer'"),
        ({"grants": [{"allow": ["start"], "roles": ["operator"], "channels": ["x"]}]}, "channels"),
        ({"start": ["operator"]}, "start"),
        ({"roles": {"Not A Name": {}}}, "pattern"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_policy_that_leaves_something_open_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        policy(**changes)


def test_roles_that_are_used_and_not_defined_are_found() -> None:
    assert policy().unknown_roles() == set()
    wrong = policy(
        grants=[{"allow": ["start"], "roles": ["operator", "a"]}],
        break_glass={"roles": ["b"], "channel": "#deploys"},
        delegation={"roles": ["c"]},
        roles={"operator": Role()},
    )
    assert wrong.unknown_roles() == {"a", "b", "c", "approver"}


BASE = Approval(count=2, roles=("approver", "lead"), expires_after=timedelta(hours=4))


def rules(base: Approval = BASE) -> Policy:
    return policy(approval={Risk.CHANGE: base, Risk.DESTRUCTIVE: base})


def test_the_policys_rule_holds_where_the_workflow_has_none() -> None:
    assert effective_approval(rules(), Risk.CHANGE, None) == BASE
    assert effective_approval(rules(), Risk.READ, None) is None


def test_a_workflows_own_rule_holds_where_the_policy_asks_for_none() -> None:
    own = Approval(roles=("anybody",), four_eyes=False)
    assert effective_approval(rules(), Risk.READ, own) == own


def test_of_two_rules_the_stricter_of_each_part_holds() -> None:
    own = Approval(
        count=1,
        roles=("lead", "operator"),
        four_eyes=False,
        expires_after=timedelta(hours=1),
        phrase=True,
    )
    assert effective_approval(rules(), Risk.CHANGE, own) == Approval(
        count=2,
        roles=("lead",),
        four_eyes=True,
        expires_after=timedelta(hours=1),
        phrase=True,
    )


def test_of_two_rules_without_a_common_role_both_must_be_filled() -> None:
    both = effective_approval(rules(), Risk.CHANGE, Approval(roles=("operator",)))
    assert both is not None
    assert both.needs == (
        Need(roles=("operator",)),
        Need(count=2, roles=("approver", "lead")),
    )


def test_two_rules_that_need_more_people_than_can_be_asked_for_are_an_error() -> None:
    base = Approval(needs=(Need(count=6, roles=("lead",)), Need(count=6, roles=("lead", "a"))))
    with pytest.raises(ConfigurationError, match="together need 12 people with the role lead"):
        base.tightened(Approval(roles=("lead",)))


def test_only_the_policys_delegation_lets_people_stand_in() -> None:
    own = Approval(roles=("lead",), delegable=("lead", "operator"))
    assert effective_approval(rules(), Risk.READ, own) == own.standing_in(())
    lending = rules().model_copy(update={"delegation": DelegationRule(roles=("lead", "approver"))})
    inherited = effective_approval(lending, Risk.CHANGE, None)
    assert inherited is not None
    assert inherited.delegable == ("lead", "approver")
    narrowed = effective_approval(lending, Risk.CHANGE, own)
    assert narrowed is not None
    assert narrowed.delegable == ("lead",)
