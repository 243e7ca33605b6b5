"""docs/expressions.md and docs/first-workflow.md say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot.checking import check
from core.errors import ConfigurationError
from core.expressions import Types, compile_expression
from core.settings import Settings
from core.starter import write_starter
from core.workflows.template import check_condition, check_text

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "expressions.md").read_text()
FIRST = (DOCS / "first-workflow.md").read_text()
TYPES = Types(
    parameters={"version": "string", "before": "string", "hosts": "list", "careful": "boolean"},
    steps=frozenset({"first", "my-step"}),
    each=True,
)
SCOPE: dict[str, Any] = {
    "parameters": {"version": "v1.4.0", "hosts": ["web-1", "web-2", "web-3"], "careful": False},
    "steps": {"first": {"summary": "x"}, "my-step": {"summary": "done, 3 files"}},
    "each": "web-2",
}
EXPRESSIONS = [
    line.split(" // ")
    for block in re.findall(r"^```cel\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
MISTAKES = re.findall(r"^\| `(when: |hosts: )?(\S.*?)` \| `([^|]*: [^|]*)` \|$", PAGE, re.MULTILINE)


def _blocks(page: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_starter(tmp_path / "home")
    return Settings(home=tmp_path / "home")


@pytest.mark.parametrize(("source", "value"), EXPRESSIONS)
def test_an_expression_of_the_page_has_the_value_that_it_says(source: str, value: str) -> None:
    assert compile_expression(source.strip(), TYPES).evaluate(SCOPE) == json.loads(value)


def test_a_mistake_of_the_page_is_told_as_it_says() -> None:
    assert len(MISTAKES) >= 7
    for before, wrong, says in MISTAKES:
        told = (
            check_condition(wrong, TYPES)
            if before == "when: "
            else check_text(before + wrong, TYPES)
        )
        assert list(told) == [says.replace("\\|", "|")]


def test_the_examples_of_the_page_are_sound(settings: Settings) -> None:
    workflow, trigger = _blocks(PAGE)
    (settings.config_dir / "workflows" / "roll-out.yaml").write_text(workflow)
    (settings.config_dir / "triggers" / "again.yaml").write_text(trigger)
    state, problems = check(settings)
    assert problems == []
    assert {"roll-out"} <= set(state.workflows)
    assert {"again"} <= set(state.triggers)


def test_the_mistakes_in_the_first_workflow_are_told_as_its_page_says(settings: Settings) -> None:
    file = settings.config_dir / "workflows" / "compact-repository.yaml"
    sound = next(block for block in _blocks(FIRST) if block.startswith("name: Compact a repo"))
    rows = dict(re.findall(r"^\| `([^`]+)` \| (`compact-repository.*) \|$", FIRST, re.MULTILINE))
    right = {
        "objetive:": "objective:",
        "action: slack.say": "action: slack.post",
        "${parameters.prnue}": "${parameters.prune}",
        "${steps.cuont.output}": "${steps.count.output}",
        "programm: gc-…": "program: gc-…",
        "roles: [aprover]": "roles: [approver, lead]",
        "roles: [operator]": "roles: [approver, lead]",
        "type: aproval": "type: approval",
        "name: Compact: a": "name: Compact a",
    }
    assert set(rows) == set(right)
    for wrong, says in rows.items():
        file.write_text(sound.replace(right[wrong].rstrip("…"), wrong.rstrip("…"), 1))
        told = _told(settings)
        for one in re.findall(r"`([^`]+)`", says):
            assert any(line.endswith(one) or _begins(line, one) for line in told), (one, told)


def _told(settings: Settings) -> list[str]:
    folder = f"{settings.config_dir / 'workflows'}/"
    try:
        _, problems = check(settings)
    except ConfigurationError as error:
        problems = str(error).splitlines()
    return [line.removeprefix(folder) for line in problems]


def _begins(line: str, shortened: str) -> bool:
    return shortened.endswith("…") and line.startswith(shortened.rstrip("…"))
