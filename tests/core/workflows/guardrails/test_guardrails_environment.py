"""Environment: only where the workflow was made for."""

from __future__ import annotations

import pytest

from core.workflows.guardrails import GuardrailState
from tests.core.workflows.guardrails.situations import guardrail, situation


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ("production", GuardrailState.MET),
        ("staging", GuardrailState.MET),
        ("development", GuardrailState.BLOCKED),
        ("Production", GuardrailState.BLOCKED),
        ("", GuardrailState.BLOCKED),
    ],
)
def test_the_plans_environment_is_one_of_those_allowed(
    environment: str, state: GuardrailState
) -> None:
    rail = guardrail("environment", allowed=["production", "staging"])
    result = rail.evaluate(situation(environment=environment))
    assert (result.state, result.description) == (state, "Only in production or staging")
    assert result.evidence == f"The plan is for {environment}."
    assert not rail.overridable, "what was made for staging stays there"
