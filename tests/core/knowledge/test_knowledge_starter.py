"""The runbooks of the starter keep the form that a reader at night relies on."""

from __future__ import annotations

import re
from itertools import chain

import pytest
from markdown_it import MarkdownIt

from core.knowledge.outline import headings
from core.knowledge.reading import parse_document
from tests.core.knowledge.conftest import RUNBOOKS

PATHS = sorted(RUNBOOKS.glob("*.md"))
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Rollback", "Escalation"]
WORKFLOWS = {"revert-commit", "rerun-ci", "tag-release", "prune-worktree"}


def load(path):
    return parse_document(path.read_bytes(), path.name, path.name)


def test_there_are_twelve_and_each_alert_has_one():
    assert len(PATHS) == 12
    alerts = list(chain.from_iterable(load(path).front_matter.alerts for path in PATHS))
    assert len(alerts) == len(set(alerts))
    assert {"KubePodCrashLooping", "HighErrorRate"} <= set(alerts)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_form(path):
    document = load(path)
    assert document.front_matter.alerts
    assert document.front_matter.services
    assert document.front_matter.owner
    tokens = MarkdownIt().parse(document.body)
    found = list(headings(tokens))
    assert [heading.title for heading in found if heading.level == 2] == SECTIONS
    assert [heading.title for heading in found if heading.level == 1] == [document.title]
    languages = {token.info for token in tokens if token.type == "fence"}
    assert languages <= {"console", "sql", "promql"}
    assert set(re.findall(r"/ops run ([\w-]+)", document.body)) <= WORKFLOWS
    prose = [line for line in document.body.split("\n") if not line.startswith("|")]
    assert max(map(len, prose)) <= 110
