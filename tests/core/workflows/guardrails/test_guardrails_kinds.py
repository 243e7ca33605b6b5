"""What all guardrails have in common; a new one is one module, and everything knows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import core.workflows.guardrails
from core.workflows.guardrails import Guardrail, GuardrailState, kinds
from tests.core.workflows.guardrails.situations import guardrail, situation, stored

EXAMPLES: dict[str, dict[str, Any]] = {
    "approval": {"roles": ["approver"]},
    "blast_radius": {
        "limit": 5,
        "percent": 10,
        "of": {"action": "inventory.list", "with": {"x": "y"}, "count": "size(values.hosts)"},
    },
    "dataset_gate": {"subject": "tickets-v3", "max_age": "30d"},
    "environment": {"allowed": ["production"]},
    "evaluation_gate": {"subject": "router-v2"},
    "freeze": {
        "calendar": "freeze.ics",
        "windows": [{"name": "weekend", "from": "Fri 16:00", "to": "Mon 08:00"}],
    },
    "lock": {},
    "precondition": {
        "action": "ci.status",
        "with": {"branch": "main"},
        "expect": "values.green",
        "message": "CI on main is green",
    },
    "preview": {"unchanged": True},
    "rate": {"limit": 3, "per": "1d", "cool_down": "15m"},
}
GIVE_WAY = {"approval", "blast_radius", "freeze", "precondition", "rate"}


def test_every_guardrail_is_found_by_its_type() -> None:
    assert [kind.model_fields["type"].default for kind in kinds()] == sorted(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_guardrail_is_the_same_after_it_was_stored_in_a_plan(kind: str) -> None:
    rail = guardrail(kind, **EXAMPLES[kind])
    assert stored(rail) == rail


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_guardrail_says_what_it_is_in_one_line(kind: str) -> None:
    words = guardrail(kind, **EXAMPLES[kind]).describe()
    assert words[0].isupper() or words.startswith(("tickets", "router"))
    assert "\n" not in words
    assert "None" not in words


@pytest.mark.parametrize("kind", EXAMPLES)
def test_no_guardrail_is_met_before_anybody_has_looked_unless_it_needs_no_look(kind: str) -> None:
    """Whoever forgets to look lets nothing begin."""
    result = guardrail(kind, **EXAMPLES[kind]).evaluate(situation())
    needs_no_look = {"environment"}
    assert (result.state is GuardrailState.MET) is (kind in needs_no_look)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_field_that_is_not_known_is_an_error(kind: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        guardrail(kind, **EXAMPLES[kind], unknown=1)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_breaking_the_glass_opens_only_what_gives_way(kind: str) -> None:
    assert guardrail(kind, **EXAMPLES[kind]).overridable is (kind in GIVE_WAY)


def test_a_type_that_is_not_known_lists_those_there_are() -> None:
    with pytest.raises(ValidationError, match=r"'approval', 'blast_radius'.*'rate'"):
        guardrail("moon_phase")


_MOON = '''
"""Moon phase: a guardrail that somebody has added."""
from typing import Literal
from core.workflows.guardrails.base import Guardrail, GuardrailResult, GuardrailState, Situation

class MoonPhase(Guardrail):
    type: Literal["moon_phase"] = "moon_phase"
    def describe(self) -> str:
        return "Not at full moon"
    def evaluate(self, situation: Situation) -> GuardrailResult:
        return self._result(GuardrailState.MET, "New moon.")
'''
_TRY = """
import pkgutil, sys
iter_modules = pkgutil.iter_modules
def wider(path=None, prefix=""):
    if path and path[0].endswith("/guardrails"):
        path.append(sys.argv[1])
    return iter_modules(path, prefix)
pkgutil.iter_modules = wider

from core.state import AIWorkflow
made = AIWorkflow.model_validate({
    "id": "x", "name": "X", "objective": "x", "guardrails": [{"type": "moon_phase"}],
    "steps": [{"id": "s", "name": "S", "action": "slack.post"}],
})
print(made.guardrails[0].describe())
"""


def test_a_new_guardrail_is_one_new_module(tmp_path: Path) -> None:
    """In a process of its own, in which the package has a second folder for its modules."""
    (tmp_path / "moon_phase.py").write_text(_MOON)
    root = Path(core.workflows.guardrails.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _TRY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout == "Not at full moon\n", done.stderr


def test_the_classes_are_frozen() -> None:
    for kind in kinds():
        assert issubclass(kind, Guardrail)
        assert kind.model_config["frozen"], kind
