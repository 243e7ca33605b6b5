"""References in workflow files are filled in once, and what is filled in stays text."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from core.errors import InvalidRequestError
from core.workflows.template import ExpressionError, look_up, references, render

SCOPE: dict[str, JsonValue] = {
    "parameters": {
        "commit": "1a2b3c4",
        "count": 3,
        "loud": True,
        "nothing": None,
        "list": ["a"],
        "hostile": "${parameters.commit}",
        "brace": "{steps.build.url}",
    }
}
KEEP = frozenset({"steps"})


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        ("plain", "plain"),
        ("${parameters.commit}", "1a2b3c4"),
        ("${ parameters.commit }", "1a2b3c4"),
        ("${parameters.count}", 3),
        ("${parameters.loud}", True),
        ("${parameters.list}", ["a"]),
        ("${parameters.nothing}", None),
        ("revert ${parameters.commit} x${parameters.count}", "revert 1a2b3c4 x3"),
        ("loud=${parameters.loud}, ${parameters.nothing}.", "loud=true, ."),
        ("costs 5$ {parameters.commit}", "costs 5$ {parameters.commit}"),
        (
            {"a": ["${parameters.count}", {"b": "${parameters.commit}"}]},
            {"a": [3, {"b": "1a2b3c4"}]},
        ),
        (7, 7),
        (None, None),
    ],
)
def test_references_are_replaced_by_what_they_name(value: JsonValue, rendered: JsonValue) -> None:
    assert render(value, SCOPE, KEEP) == rendered


def test_what_an_argument_holds_is_never_read_as_a_reference() -> None:
    done = frozenset[str]()
    assert render("${parameters.hostile}", SCOPE, done) == "${parameters.commit}"
    assert render("say ${parameters.hostile}", SCOPE, done) == "say ${parameters.commit}"


@pytest.mark.parametrize(
    "text",
    [
        "${parameters.hostile}",
        "say ${parameters.hostile} ${steps.build.url}",
        "$${parameters.brace}",  # a price, and a value that makes a reference of it
        "${'$' + parameters.brace}",
        "${['$' + parameters.brace]}",
        "${'$'}${parameters.brace}",
    ],
)
def test_nothing_that_a_later_reading_would_take_for_an_expression_gets_into_a_plan(
    text: str,
) -> None:
    with pytest.raises(ExpressionError, match=r"would make '\$\{'"):
        render(text, SCOPE, KEEP)


def test_references_to_later_steps_stay_until_then() -> None:
    assert render("${steps.build.url}", SCOPE, KEEP) == "${steps.build.url}"
    text = "${parameters.commit}: ${steps.build.url}"
    assert render(text, SCOPE, KEEP) == "1a2b3c4: ${steps.build.url}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${parameters.branch}", "parameters.branch: there is no 'branch'; there is brace, commit"),
        ("${secrets.token}", "there is no 'secrets'; there is parameters"),
        ("${parameters.commit.__class__}", "there is no '__class__'; there is nothing"),
        ("list: ${parameters.list}", "is not text and cannot stand inside text"),
    ],
)
def test_a_reference_that_names_nothing_says_what_there_is(text: str, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        render(text, SCOPE, KEEP)


def test_every_reference_is_found_however_deep() -> None:
    value: JsonValue = {"a": ["${x.y} and ${z}", {"b": '${steps["s-1"].v}'}], "c": 1}
    assert list(references(value)) == ["x.y", "z", "steps.s-1.v"]


def test_a_path_goes_through_mappings_only() -> None:
    assert look_up("parameters.list", SCOPE) == ["a"]
    with pytest.raises(InvalidRequestError):
        look_up("parameters.list.0", SCOPE)
