"""Expressions are CEL over what is in scope: typed before they run, exact about what is wrong."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.expressions import ExpressionError, Types, compile_expression

TYPES = Types(
    parameters={
        "force": "boolean",
        "hosts": "list",
        "count": "integer",
        "share": "number",
        "commit": "string",
        "my-name": "string",
        "namespace": "string",
    },
    steps=frozenset({"build", "my-step"}),
    each=True,
)
SCOPE: dict[str, Any] = {
    "parameters": {
        "force": False,
        "hosts": ("web-1", "web-2", "db-1"),
        "count": 3,
        "share": 0.5,
        "commit": "1a2b3c4",
        "my-name": "Ann",
        "namespace": "shop",
    },
    "steps": {
        "build": {"url": "https://ci.example", "ok": True, "n": 3, "labels": {"a-b": "c"}},
        "my-step": {"url": "https://two.example"},
    },
    "each": "web-1",
}


@pytest.mark.parametrize(
    ("source", "type_", "value"),
    [
        ("parameters.force || size(parameters.hosts) > 2", "boolean", True),
        ("parameters.count + 1", "integer", 4),
        ("parameters.share * 2.0", "number", 1.0),
        ("double(parameters.count) * parameters.share", "number", 1.5),
        ("parameters.commit + '-' + string(parameters.count)", "string", "1a2b3c4-3"),
        ("parameters.hosts", "list", ["web-1", "web-2", "db-1"]),
        ("parameters.hosts[1]", "string", "web-2"),
        ("parameters.hosts.filter(h, h.startsWith('web'))", "list", ["web-1", "web-2"]),
        ("parameters.hosts.map(h, h + '.example')[2]", "string", "db-1.example"),
        ("each in parameters.hosts", "boolean", True),
        ("each.matches('^web-[0-9]+$')", "boolean", True),
        ('parameters["my-name"]', "any", "Ann"),
        ("parameters.namespace", "string", "shop"),
        ("steps.build.url", "any", "https://ci.example"),
        ("steps['my-step'].url", "any", "https://two.example"),
        ('steps.build.labels["a-b"]', "any", "c"),
        ("steps.build.n > 2 ? 'many' : 'few'", "string", "many"),
        ("'x' + (steps.build.url + steps.build.labels['a-b'])", "any", "xhttps://ci.examplec"),
        ("steps.build.labels['a-b'] == 'c'", "boolean", True),
        ("has(steps.build.nothing)", "boolean", False),
        ("{'commit': parameters.commit}", "map", {"commit": "1a2b3c4"}),
        ("[1, 2].exists(x, x == 2)", "boolean", True),
        ("'${' + each + '}'", "string", "${web-1}"),
        ("4 / 2\n + 1", "integer", 3),
        ("'// no comment'", "string", "// no comment"),
        ("null", "null", None),
    ],
)
def test_an_expression_has_a_type_and_a_value(source: str, type_: str, value: Any) -> None:
    expression = compile_expression(source, TYPES)
    assert expression.type == type_
    assert expression.evaluate(SCOPE) == value
    assert type(expression.evaluate(SCOPE)) is type(value)
    assert compile_expression(source, None).evaluate(SCOPE) == value


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("parameters.count + 'a'", "character 18: '+' cannot take (integer, string)"),
        ("parameters.share + 1", "'+' cannot take (number, integer); write double(…)"),
        ("parameters.force + true", "'+' cannot take"),
        ("size(parameters.count) > 1", "'size' cannot take (integer)"),
        ("each.url", "character 5: expression of type 'string'"),
        ("parameters.commit.url", "'string' cannot be the operand of a select"),
        ("parameters.comit", "there is no 'comit'; there is parameters.commit, parameters.count"),
        ("steps.deploy.url", "no step that is done before has the id 'deploy'; there is steps.b"),
        ("steps.my-step.url", """a name with '-' in it is written steps["my-step"]"""),
        ("parameters.my-name", """a name with '-' in it is written parameters["my-name"]"""),
        ("steps.step-2.url", """a name with '-' in it is written steps["a-name"]"""),
        ("secrets.token", "there is no 'secrets'; there is parameters, steps, each"),
        ("event.title", "there is no 'event'"),
        ("parameters", "name what you need of it: parameters.a_name"),
        ("parameters[each]", "name what you need of it: parameters.a_name"),
        ("steps[each].url", "name what you need of it: steps.a_name"),
        ("steps['a\\x62'].url", "name what you need of it"),
        ("explode(1)", "character 8: there is no 'explode'"),
        ("each.explode()", "there is no 'explode'"),
        ("parameters.count +", "character 19: mismatched input"),
        ("(1", "character 3: "),
        ("1 +\n\n 'a' 'b'", "line 3, character 6: "),
        ("", "character 1: "),
        ("'open", "character 1: the text that begins here has no end"),
        ("parameters.count = 3", "character 18: write == to compare"),
        ("parameters.force & true", "write && for and"),
        ("parameters.force // always", "character 18: a comment stands outside"),
        ("parameters.force &&\n  parameters.count", "character 18: '&&' cannot take"),
        ("parameters.`my-name`", 'write ["a-name"]'),
        ("each; each", "';' has no meaning in an expression"),
        (".parameters.count", "a name cannot begin with '.'"),
        ("1 in .steps.build.list", "a name cannot begin with '.'"),
        ("google.protobuf.Value{number_value: 1.0}", "there are no messages, only maps"),
        ("parameters.hosts.all(steps, true)", "'steps' has a meaning; give the items another"),
        ("each.matches(parameters.commit)", "write the pattern out"),
        ("matches(each, 'a')", "write the pattern out"),
        ("{2.5: each}", "Unsupported map key type: DOUBLE"),
    ],
)
def test_what_cannot_be_right_is_told_with_its_place_and_mend(source: str, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, TYPES)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("steps.build.nothing", "there is no 'nothing'; there is labels, n, ok, url"),
        ("steps.build.nothing + 'x'", "there is no 'nothing'; there is labels, n, ok, url"),
        ("steps.later.url == 'x'", "there is no 'later'; there is build"),
        ("steps.build.url.deeper == 1", "there is no 'deeper'"),
        ("steps.build.url + 1", "No matching overloads found"),
        ("parameters.hosts[7] + ''", "index=7 size=3"),
        ("1 / 0", "divide by zero"),
        ("9223372036854775807 + 1", "overflow"),
        ("9007199254740993", "too large a number"),
        ("0.0 / 0.0", "not a finite number"),
        ("timestamp('2026-01-01T00:00:00Z')", "write string(…) around it"),
        ("b'abc'", "write string(…) around it"),
        ("type(1)", "leave type(…) out"),
        ("{1: 2}", "names that are not texts"),
    ],
)
def test_what_has_no_value_is_told_when_it_is_asked_for(source: str, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, None).evaluate(SCOPE)
    assert says in str(caught.value)


def test_a_condition_is_true_or_false_and_nothing_else() -> None:
    assert compile_expression("steps.build.ok", TYPES).holds(SCOPE) is True
    with pytest.raises(ExpressionError, match="must be true or false, but is 'https://ci"):
        compile_expression("steps.build.url", TYPES).holds(SCOPE)


@pytest.mark.parametrize(
    ("source", "references"),
    [
        ("parameters.hosts.all(h, h != each)", {"parameters.hosts", "each"}),
        (
            "has(steps.build.url) && steps['my-step'].url != ''",
            {"steps.build.url", "steps.my-step.url"},
        ),
        ("steps.build.list[0].name", {"steps.build.list"}),
        ("steps.build[each]", {"steps.build", "each"}),
        ("'steps.build.url'", set()),
        ("r'\\d' + steps.build.url", {"steps.build.url"}),
        ("'''it's ${steps.x}''' + each", {"each"}),
        ("parameters . commit", {"parameters.commit"}),
        ("[1].map(x, x).size() + int(parameters.count)", {"parameters.count"}),
        ("type(each) == string", {"each"}),
    ],
)
def test_references_are_what_an_expression_reads(source: str, references: set[str]) -> None:
    assert compile_expression(source, None).references == references


_LEAVES = st.sampled_from(
    [
        "parameters.commit",
        "steps.build.url",
        'steps["my-step"].url',
        "steps['my-step']['url']",
        "each",
        "'a}b'",
        'r"\\d}"',
        "'\\''",
        "string(parameters.count)",
        "parameters . namespace",
    ]
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    one = st.tuples(inner, inner, inner)
    return st.one_of(
        one.map(lambda t: f"({t[0]} + {t[1]})"),
        one.map(lambda t: f"({t[0]} == {t[1]} ? {t[2]} : {t[1]})"),
        one.map(lambda t: f"[{t[0]}, {t[1]}].map(x, x + {t[2]})[0]"),
        one.map(lambda t: f"{{'k': {t[0]}}}.k"),
        one.map(lambda t: f"([{t[0]}].exists(each2, each2 == {t[1]}) ? 'y' : {t[2]})"),
    )


@settings(max_examples=150, deadline=None)
@given(source=st.recursive(_LEAVES, _grown, max_leaves=6))
def test_an_expression_reads_nothing_that_is_not_among_its_references(source: str) -> None:
    """Where values come from is judged by the references, so none may be missed."""
    expression = compile_expression(source, None)
    named = [path.split(".") for path in expression.references]
    cut: dict[str, Any] = {"parameters": {}, "steps": {}}
    for root, *rest in named:
        if not rest:
            cut[root] = SCOPE[root]
        elif len(rest) == 1:
            cut[root][rest[0]] = SCOPE[root][rest[0]]
        else:
            cut[root].setdefault(rest[0], {})[rest[1]] = SCOPE[root][rest[0]][rest[1]]
    assert expression.evaluate(cut) == expression.evaluate(SCOPE)


_WORDS = (
    *("parameters", "steps", "each", "size", "map", "all", "matches", "x", "in", "true", "null"),
    *(".", "(", ")", "[", "]", "{", "}", "+", "-", "!", "?", ":", ",", "==", "&&", "||", "//"),
    *("each", "parameters.hosts", "steps.build.n", "duration('1s')", ".map(x,", ".matches('a')"),
    *("'a'", '"', "'", "'''", "\\", "r", "b", "1", "2.5", "0x1F", "\n", "`", "$", "${"),
)


@settings(max_examples=500, deadline=None)
@given(
    source=st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(_WORDS),
            max_size=25,
        ).map(" ".join),
    )
)
def test_no_text_breaks_the_reader(source: str) -> None:
    for types in (None, TYPES):
        with suppress(ExpressionError):
            compile_expression(source, types).evaluate(SCOPE)
