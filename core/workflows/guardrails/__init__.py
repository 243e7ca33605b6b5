"""The guardrails, each a small frozen class in a module of its own.

A new one is one new module here: a subclass of `Guardrail` with a `type` literal of its own.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from core.workflows.guardrails.approval import Approval
from core.workflows.guardrails.base import (
    Claims,
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Rate,
    Situation,
    World,
)
from core.workflows.guardrails.environment import Environment
from core.workflows.guardrails.freeze import Freeze


def kinds() -> tuple[type[Guardrail], ...]:
    """Every guardrail that a module of this package defines, by the name of its type."""
    found: dict[str, type[Guardrail]] = {}
    for entry in iter_modules(__path__):
        module = import_module(f"{__name__}.{entry.name}")
        for member in vars(module).values():
            if not (inspect.isclass(member) and issubclass(member, Guardrail)):
                continue
            if member.__module__ == module.__name__ and "type" in member.model_fields:
                found[member.model_fields["type"].default] = member
    return tuple(found[name] for name in sorted(found))


if TYPE_CHECKING:
    AnyGuardrail = Guardrail
else:
    AnyGuardrail = Annotated[Union[kinds()], Field(discriminator="type")]  # noqa: UP007

__all__ = [
    "AnyGuardrail",
    "Approval",
    "Claims",
    "Environment",
    "Freeze",
    "Guardrail",
    "GuardrailResult",
    "GuardrailState",
    "Rate",
    "Situation",
    "World",
    "kinds",
]
