"""The guardrails, each a small frozen class in a file of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.workflows.guardrails.approval import Approval
from core.workflows.guardrails.base import (
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Situation,
)
from core.workflows.guardrails.environment import Environment
from core.workflows.guardrails.freeze import Freeze

AnyGuardrail = Annotated[Approval | Freeze | Environment, Field(discriminator="type")]

__all__ = [
    "AnyGuardrail",
    "Approval",
    "Environment",
    "Freeze",
    "Guardrail",
    "GuardrailResult",
    "GuardrailState",
    "Situation",
]
