"""What `countersign check` says of a guardrail that does not fit its workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.workflows.guardrails.base import Written
from tests.core.calendars.icalendar_files import calendar, event, written
from tests.core.workflows.guardrails.inventory import REGISTRY
from tests.core.workflows.guardrails.situations import guardrail

PARAMETERS = {"host": "string", "hosts": "list", "count": "integer", "dry": "boolean"}


def problems(
    kind: str,
    folder: Path = Path(),
    targets: tuple[str, ...] = ("hosts",),
    calls: tuple[str, ...] = ("inventory.move",),
    **fields: Any,
) -> list[str]:
    here = Written(folder, PARAMETERS, targets, calls, REGISTRY)
    return list(guardrail(kind, **fields).problems(here))


LISTED = {"action": "inventory.list", "with": {"region": "eu"}}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("lock", {}),
        ("lock", {"name": "db-${parameters.host}"}),
        ("lock", {"name": "${parameters.count}"}),
        ("rate", {"of": "target", "limit": 1, "per": "1h"}),
        ("preview", {}),
        ("dataset_gate", {"subject": "${parameters.host}"}),
        ("blast_radius", {"percent": 10, "of": "${parameters.hosts}"}),
        ("blast_radius", {"percent": 10, "of": "${size(parameters.hosts)}"}),
        (
            "blast_radius",
            {"percent": 10, "of": {**LISTED, "count": "size(values.hosts)"}},
        ),
        (
            "precondition",
            {**LISTED, "expect": "parameters.host in values.hosts", "message": "It is known"},
        ),
        (
            "precondition",
            {
                "action": "inventory.list",
                "with": {"region": "${parameters.host}"},
                "expect": 'summary != ""',
                "message": "It is known",
            },
        ),
        ("environment", {"allowed": ["production"]}),
    ],
)
def test_what_fits_has_no_problems(kind: str, fields: dict[str, Any]) -> None:
    assert problems(kind, **fields) == []


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        ("lock", {"targets": ()}, "name: give the lock a name, or the workflow 'targets'."),
        ("lock", {"name": "db-${parameters.hots}"}, "name: parameters.hots: there is no 'hots'"),
        (
            "lock",
            {"name": "${parameters.hosts}"},
            "name: parameters.hosts: must be of type string or",
        ),
        ("lock", {"name": "${steps.x.url}"}, "name: steps.x.url: "),
        ("lock", {"name": "${parameters.host"}, "has no closing }"),
        (
            "rate",
            {"of": "target", "limit": 1, "per": "1h", "targets": ()},
            "of: give the workflow 'targets', or count 'of: workflow'.",
        ),
        ("preview", {"calls": ("inventory.list",)}, "type: none of the steps' actions has a dry"),
        (
            "dataset_gate",
            {"subject": "${parameters.dry}"},
            "subject: parameters.dry: must be of type",
        ),
        ("blast_radius", {"limit": 1, "targets": ()}, "type: give the workflow 'targets'"),
        (
            "blast_radius",
            {"percent": 10, "of": "${parameters.host}"},
            "of: parameters.host: must be of type integer or list, but is string.",
        ),
        (
            "blast_radius",
            {"percent": 10, "of": {**LISTED, "count": 'values.hosts == "x"'}},
            'of.count: values.hosts == "x": must be of type integer, but is boolean.',
        ),
        (
            "precondition",
            {**LISTED, "expect": "size(values.hosts)", "message": "x"},
            "expect: size(values.hosts): must be of type boolean, but is integer.",
        ),
        (
            "precondition",
            {**LISTED, "expect": "value.x", "message": "x"},
            "expect: value.x: there is no 'value'; there is ",
        ),
        (
            "precondition",
            {"action": "inventory.lost", "expect": "true", "message": "x"},
            "action: There is no action 'inventory.lost'.",
        ),
        (
            "precondition",
            {"action": "inventory.move", "with": {"host": "a"}, "expect": "true", "message": "x"},
            "action: inventory.move does more than read here",
        ),
        (
            "precondition",
            {"action": "inventory.guess", "expect": "true", "message": "x"},
            "action: a model writes what inventory.guess says",
        ),
        (
            "precondition",
            {**LISTED, "with": {"reigon": "eu"}, "expect": "true", "message": "x"},
            "with.reigon: inventory.list takes region.",
        ),
        (
            "precondition",
            {**LISTED, "with": {"region": 3}, "expect": "true", "message": "x"},
            "with: inventory.list: region",
        ),
        (
            "precondition",
            {
                **LISTED,
                "with": {"region": "${parameters.place}"},
                "expect": "true",
                "message": "x",
            },
            "with.region: parameters.place: there is no 'place'",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_mend(
    kind: str, fields: dict[str, Any], says: str
) -> None:
    found = problems(kind, **fields)
    assert found
    assert says in "\n".join(found)


def test_a_calendar_is_read_by_the_check(tmp_path: Path) -> None:
    assert "there is no such file" in problems("freeze", tmp_path, calendar="ops.ics")[0]
    written(tmp_path, calendar(event("SUMMARY:never")), "ops.ics")
    (problem,) = problems("freeze", tmp_path, calendar="ops.ics")
    assert problem.startswith("calendar: ")
    assert "'never' has no DTSTART" in problem
    written(tmp_path, calendar(event("DTSTART:20261101T100000Z")), "ops.ics")
    assert problems("freeze", tmp_path, calendar="ops.ics") == []
