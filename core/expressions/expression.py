"""Compiling and evaluating expressions. Nothing else here imports the library.

Of the three libraries for Python, Google's `cel-expr-python` was the one that checks types when
it compiles, has limits on nesting and iterations, and was never brought down by an expression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from cel_expr_python import cel
from pydantic import JsonValue

from core.errors import InvalidRequestError
from core.expressions.lexer import ExpressionError, Outline, outline, wrong
from core.expressions.types import Types
from core.expressions.values import Weighed, as_json, cut_to, look_up, require_little_work

_TYPES = {
    "string": cel.Type.STRING,
    "integer": cel.Type.INT,
    "number": cel.Type.DOUBLE,
    "boolean": cel.Type.BOOL,
    "list": cel.Type.List(cel.Type.STRING),
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "any": cel.Type.DYN,
}
_TYPE_NAMES = frozenset(
    {"bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "dyn"}
)
_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_STATUS = re.compile(r"^[A-Z_]+: ")
_OVERLOAD = re.compile(r"found no matching overload for '(.+?)' applied to '(.*)'")
_ABSENT = re.compile(r"Key not found in map|No value with name|SELECT to non-message")


@dataclass(frozen=True)
class Expression:
    """An expression that CEL has compiled.

    Attributes:
        references: dotted, as far as they are written out: `parameters.commit`,
            `steps.build.url`, `each`. Below `parameters`, `steps` and `event` the first name
            always is.
        type: `string`, `integer`, `number`, `boolean`, `list`, `map`, `null`, or `any` where only
            evaluating tells.
    """

    source: str
    references: frozenset[str]
    type: str
    _outline: Outline = field(repr=False)
    _program: Any = field(repr=False, compare=False)

    @property
    def roots(self) -> frozenset[str]:
        """The first words of the references, such as `parameters` or `steps`."""
        return frozenset(path[0] for path in self._outline.paths) - _TYPE_NAMES

    def evaluate(self, scope: Mapping[str, JsonValue]) -> JsonValue:
        """Its value; evaluating has no effect and takes well below a second.

        Raises:
            ExpressionError: it has none; the message says what is missing or does not fit.
        """
        if self._outline.plain:
            return self._look_up(next(iter(self._outline.paths)), scope)
        try:
            weighed = Weighed(cut_to(self._outline.paths, scope))
            require_little_work(self._outline, self.source, weighed)
            found = self._program.eval(data=weighed.values)
            if found.type() == cel.Type.ERROR:
                raise self._failed(str(found.plain_value()), scope)
            return as_json(found.plain_value())
        except ValueError as error:
            raise wrong(self.source, str(error)) from error
        except RuntimeError as error:
            raise self._failed(str(error), scope) from error

    def holds(self, scope: Mapping[str, JsonValue]) -> bool:
        """Its value as that of a condition.

        Raises:
            ExpressionError: it has none, or one that is neither true nor false.
        """
        value = self.evaluate(scope)
        if not isinstance(value, bool):
            raise wrong(self.source, f"must be true or false, but is {str(value)[:60]!r}")
        return value

    def _look_up(self, path: tuple[str, ...], scope: Mapping[str, JsonValue]) -> JsonValue:
        try:
            found = look_up(path, scope)
        except InvalidRequestError as error:
            raise ExpressionError(str(error)) from error
        return list(found) if isinstance(found, tuple) else found

    def _failed(self, message: str, scope: Mapping[str, JsonValue]) -> ExpressionError:
        if _ABSENT.search(message):
            for path in sorted(self._outline.paths):
                try:
                    look_up(path, scope)
                except InvalidRequestError as error:
                    return wrong(self.source, str(error))
        return wrong(self.source, _readable(message))


def compile_expression(source: str, types: Types | None) -> Expression:
    """Read an expression, and check it against `types` where they are given.

    Raises:
        ExpressionError: it cannot be read, does not fit `types`, or could not be bounded.
    """
    compiled = _compile(source)
    return compiled if types is None else replace(compiled, type=_checked(compiled, types))


@lru_cache(maxsize=512)
def _compile(source: str) -> Expression:
    found = outline(source)
    try:
        program = _environment(frozenset()).compile(source, disable_check=True)
    except RuntimeError as error:
        raise wrong(source, _readable(str(error))) from error
    return Expression(
        source=source,
        references=frozenset(".".join(path) for path in found.paths if path[0] not in _TYPE_NAMES),
        type="any",
        _outline=found,
        _program=program,
    )


def _checked(compiled: Expression, types: Types) -> str:
    """The type that an expression has, if it fits `types`."""
    source = compiled.source
    for path in sorted(compiled._outline.paths):
        if path[0] in _TYPE_NAMES and path[0] not in types.others:
            continue
        if problem := types.problem(path):
            raise wrong(source, _hyphen(source, types) or problem)
    # The library takes what is added to an element of something unknown for an integer.
    unsure = compiled._outline.indexes and not compiled.roots <= {"parameters", "each"}
    try:
        program = _environment(frozenset(_variables(types).items())).compile(source)
        found = _type_name(program.return_type())
    except RuntimeError as error:
        if unsure and _OVERLOAD.search(str(error)):
            return "any"
        raise wrong(source, _readable(str(error))) from error
    return found if found == "boolean" or not unsure else "any"


@lru_cache(maxsize=128)
def _environment(variables: frozenset[tuple[str, str]]) -> Any:
    """Making one takes ten times as long as compiling with it."""
    return cel.NewEnv(variables={name: _TYPES[type_] for name, type_ in variables})


def _variables(types: Types) -> dict[str, str]:
    """CEL takes the longest name that it knows, so `parameters.count` can have a type."""
    variables = dict.fromkeys(("event",) if types.event else ("parameters", "steps"), "map")
    if types.each:
        variables["each"] = "string"
    for name, type_ in types.parameters.items():
        if name.isidentifier():
            variables[f"parameters.{name}"] = type_
    return variables | dict(types.others)


def _type_name(found: Any) -> str:
    name = str(found.name()).split("<")[0]
    return {
        "STRING": "string",
        "INT": "integer",
        "UINT": "integer",
        "DOUBLE": "number",
        "BOOL": "boolean",
        "LIST": "list",
        "MAP": "map",
        "NULL": "null",
    }.get(name, "any")


def _hyphen(source: str, types: Types) -> str | None:
    for looks in types.hyphenated():
        if re.search(rf"(?<![\w.\"']){re.escape(looks)}(?![\w-])", source):
            root, name = looks.split(".", 1)
            return f"a name with '-' in it is written {root}[\"{name}\"]"
    return None


def _readable(message: str) -> str:
    """The first of the library's errors, in our words."""
    if "recursion" in message:
        return "nested too deeply; split it into steps"
    if "Iteration budget" in message:
        return "it goes through too many items"
    place = _PLACE.search(message)
    if place is None:
        return _STATUS.sub("", message).split("\n")[0]
    text = place[3].split(" expecting ")[0].replace(" (in container '')", "")
    text = text.replace("undeclared reference to", "there is no").replace("Syntax error: ", "")
    if overload := _OVERLOAD.search(text):
        text = _no_overload(overload[1], overload[2])
    line = "" if place[1] == "1" else f"line {place[1]}, "
    return f"{line}character {place[2]}: {text}"


def _no_overload(operator: str, operands: str) -> str:
    name = operator.strip("_")
    words = operands.strip("()").replace("double", "number").replace("int", "integer")
    mend = ""
    if "integer" in words and "number" in words:
        mend = "; write double(…) around the integer, and 1.0 for 1"
    return f"'{name}' cannot take ({words}){mend}"
