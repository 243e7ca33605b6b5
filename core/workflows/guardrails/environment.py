"""Environment: the plan touches only environments for which the workflow was made."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.workflows.guardrails.base import Guardrail, GuardrailResult, GuardrailState, Situation


class Environment(Guardrail):
    """The plan's environment is one of `allowed`."""

    type: Literal["environment"] = "environment"
    allowed: tuple[str, ...] = Field(min_length=1, max_length=50)

    def describe(self) -> str:
        return "Only in " + " or ".join(self.allowed)

    def evaluate(self, situation: Situation) -> GuardrailResult:
        inside = situation.environment in self.allowed
        state = GuardrailState.MET if inside else GuardrailState.BLOCKED
        return self._result(state, f"The plan is for {situation.environment}.")
