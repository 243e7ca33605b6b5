"""What does not fit in `policy.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from core.consistency.places import Part, Problem, Spot
from core.state import ApplicationState
from core.workflows.catalogue import STANDALONE


def policy_problems(state: ApplicationState) -> Iterator[Problem]:
    """Roles that are defined nowhere, and grants that are about no workflow."""
    file = Spot(state.folder / "policy.yaml")
    for spot, roles in _uses(state, file):
        for role in roles:
            if role not in state.policy.roles:
                yield spot.says(f"define '{role}' under 'roles', or mend its spelling.")
    for position, grant in enumerate(state.policy.grants):
        for glob in grant.workflows:
            if glob.startswith(STANDALONE):
                continue  # about tools that only their servers know
            if state.workflows and not any(fnmatchcase(name, glob) for name in state.workflows):
                there = ", ".join(state.workflows) or "none"
                spot = file.at("grants", position, "workflows", label=f"grants.{position + 1}")
                yield spot.says(f"no workflow is named '{glob}'; there is {there}.")


def _uses(state: ApplicationState, file: Spot) -> Iterator[tuple[Spot, Iterable[str]]]:
    policy = state.policy
    for position, grant in enumerate(policy.grants):
        label = f"grants.{position + 1}.roles"
        yield file.at("grants", position, "roles", label=label), grant.roles
    for risk, approval in policy.approval.items():
        rule = file.at("approval", str(risk))
        for position, need in enumerate(approval.needs):
            parts: tuple[Part, ...] = ("needs", position, "roles")
            yield rule.at(*parts, label="roles"), need.roles
        yield rule.at("delegable"), approval.delegable or ()
    for field, rule_of in (("break_glass", policy.break_glass), ("delegation", policy.delegation)):
        yield file.at(field, "roles"), rule_of.roles if rule_of else ()
