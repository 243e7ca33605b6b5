"""Parameters are filled in from what a person typed, and from nothing else."""

from __future__ import annotations

import pytest

from bot.assistants.arguments import fill
from core.records import Scalar
from core.state import AIWorkflow
from tests.support.assistants import team

WORKFLOWS = team().workflows


def values(workflow: AIWorkflow, text: str) -> dict[str, Scalar]:
    return {name: item.value for name, item in fill(workflow, text, "U1").arguments.items()}


@pytest.mark.parametrize(
    ("workflow", "text", "expected"),
    [
        ("revert-commit", "undo 3f9c2ab in shop", {"repository": "shop", "commit": "3f9c2ab"}),
        ("revert-commit", "commit=3f9c2ab please", {"commit": "3f9c2ab"}),
        ("revert-commit", "take `3f9c2ab` out.", {"commit": "3f9c2ab"}),
        ("revert-commit", "take (3f9c2ab) out, Shop!", {"repository": "shop", "commit": "3f9c2ab"}),
        (
            "revert-commit",
            "revert https://git.example/acme/shop/commit/3f9c2ab1",
            {"repository": "shop", "commit": "3f9c2ab1"},
        ),
        ("revert-commit", "that defaced page must go", {}),
        ("revert-commit", "revert 3f9c2ab or 81d04fe", {}),
        ("revert-commit", "commit=nonsense", {}),
        ("revert-commit", "commit=nonsense 3f9c2ab", {}),
        ("tag-release", "cut v2.4.0 of shop", {"repository": "shop", "version": "v2.4.0"}),
        (
            "tag-release",
            'tag 1.9.3 message="All green"',
            {"version": "1.9.3", "message": "All green"},
        ),
        ("tag-release", "version 3.0.0-rc1 after 2.9.0", {"version": "3.0.0-rc1"}),
        ("rerun-ci", "retry pipeline 9821734", {"run_id": 9821734}),
        ("rerun-ci", "rerun run #55012", {"run_id": 55012}),
        ("rerun-ci", "rerun 55012 in 10 minutes", {"run_id": 55012}),
        ("rerun-ci", "wait 10 minutes and rerun it", {}),
        ("rerun-ci", "run-id=55012 RUN_ID=55012", {"run_id": 55012}),
        ("rerun-ci", "run_id=55012 run_id=55013", {}),
        ("prune-worktree", "clean the working copy of shop", {"repository": "shop"}),
        ("prune-worktree", "clean the working copy please", {}),
    ],
)
def test_values_are_read_from_the_text(
    workflow: str, text: str, expected: dict[str, Scalar]
) -> None:
    assert values(WORKFLOWS[workflow], text) == expected


def test_a_value_is_the_persons_who_typed_it() -> None:
    filled = fill(WORKFLOWS["revert-commit"], "undo 3f9c2ab", "U42")
    provenance = filled.arguments["commit"].provenance
    assert provenance.trusted
    assert provenance.detail == "typed by U42"


def test_what_is_not_there_is_missing_unless_it_has_a_default() -> None:
    assert fill(WORKFLOWS["tag-release"], "cut a release", "U1").missing == ("version", "commit")


def test_a_wrong_value_is_asked_for_even_where_there_is_a_default() -> None:
    filled = fill(WORKFLOWS["revert-commit"], "repository=payments commit=3f9c2ab", "U1")
    assert filled.missing == ("repository",)
