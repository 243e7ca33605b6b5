"""The words of an expression, as far as they must be known before CEL sees it.

Where an expression in a text ends, what it refers to, and how much work it can be, are decided
here. What this module lets pass is at most what CEL's own lexer does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from core.errors import InvalidRequestError

MOST_CHARACTERS = 4_000
"""Of one expression."""

_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_NO_NAMES = frozenset({"true", "false", "null", "in"})
_NAMED = frozenset({"parameters", "steps", "event"})
_ENDS_OPERAND = frozenset({")", "]", "}"})
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<text>
        (?:[rR]|[bB][rR])(?:'''.*?'''|\""".*?\"""|'[^'\n]*'|"[^"\n]*")
      | [bB]?(?:'''(?:\\.|[^\\])*?'''|\"""(?:\\.|[^\\])*?\"""
               |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
  | (?P<number>0x[0-9a-fA-F]+[uU]?|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>&&|\|\||[<>=!]=|[][(){}.,?:<>+\-*%!]|/(?!/))
    """,
    re.VERBOSE | re.DOTALL,
)


class ExpressionError(InvalidRequestError):
    """An expression is wrong or has no value; the message has it, the place in it, and the mend."""


class Kind(StrEnum):
    """What a token is."""

    TEXT = "text"
    NUMBER = "number"
    NAME = "name"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Token:
    """One word; `start` is its place in the source, from 0."""

    kind: Kind
    text: str
    start: int

    @property
    def literal(self) -> str | None:
        """What a plain text literal without escapes says."""
        quoted = self.text[0] in "\"'" and self.text[:3] not in {'"""', "'''"}
        return self.text[1:-1] if quoted and "\\" not in self.text else None


def tokens(source: str, start: int = 0) -> Iterator[Token]:
    """The words of `source` from `start` on.

    Raises:
        ExpressionError: there is a character that no expression has, or a text does not end.
    """
    place = start
    while place < len(source):
        match = _TOKEN.match(source, place)
        if match is None:
            raise _unreadable(source[start:], place - start)
        if match.lastgroup != "space":
            yield Token(Kind(str(match.lastgroup)), match[0], place)
        place = match.end()


def _unreadable(source: str, place: int) -> ExpressionError:
    found = source[place]
    mend = {
        '"': "the text that begins here has no end",
        "'": "the text that begins here has no end",
        "`": 'write ["a-name"] for a name with other characters',
        "=": "write == to compare",
        "&": "write && for and",
        "|": "write || for or",
        "$": "is a } missing before it? An expression holds no other one",
        "/": "a comment stands outside, after a '#' of the file",
    }.get(found, f"{found!r} has no meaning in an expression")
    return wrong(source[: max(place + 1, 60)], f"character {place + 1}: {mend}")


def wrong(source: str, problem: str) -> ExpressionError:
    """The error that shows an expression, shortened, and what is wrong with it."""
    shown = source if len(source) <= 200 else source[:199] + "…"
    return ExpressionError(f"{shown.strip()}: {problem.rstrip('.')}.")


def closing_brace(text: str, start: int) -> int:
    """The place of the `}` that ends the expression which begins at `start`.

    Raises:
        ExpressionError: there is none.
    """
    depth = 0
    end = start + MOST_CHARACTERS + 1
    within = text[:end] if text.find("}", start, end) >= 0 else ""
    for token in tokens(within, start):
        if token.kind is not Kind.SIGN:
            continue
        if token.text == "}" and depth == 0:
            return token.start
        depth += {"{": 1, "}": -1}.get(token.text, 0)
    raise wrong(
        "${" + text[start : start + 40],
        f"it has no closing }} within {MOST_CHARACTERS} characters; a text cannot hold a '${{' "
        "that begins no expression",
    )


@dataclass(frozen=True, slots=True)
class Outline:
    """What can be said of an expression without its values.

    Attributes:
        paths: what it refers to, `("steps", "my-step", "url")`; cut where an index is computed.
        plain: it is one path, and nothing else.
        macros: how often it goes through a list; `depth`: how many of these are in one another.
        growth: how often it joins texts or lists with `+`, or repeats them in a new list.
        patterns: it matches texts with regular expressions.
        searches: it searches for texts in texts.
        indexes: it has an index, `[…]`.
    """

    paths: frozenset[tuple[str, ...]]
    plain: bool
    macros: int
    depth: int
    growth: int
    patterns: bool
    searches: bool
    indexes: bool


def outline(source: str) -> Outline:
    """Read `source`, and refuse what could not be bounded.

    Raises:
        ExpressionError: it cannot be read, is too long, or does one of the few things of CEL that
            are not allowed here; the message says what to write instead.
    """
    if len(source) > MOST_CHARACTERS:
        raise wrong(source, f"longer than {MOST_CHARACTERS} characters; split it into steps")
    words = list(tokens(source))
    bound = _items(source, words)
    paths: set[tuple[str, ...]] = set()
    plain = False
    for position, token in enumerate(words):
        if _starts_path(words, position):
            path, end = _path(words, position)
            if path[0] not in bound:
                _require_named(source, path)
                paths.add(path)
                plain = plain or (position == 0 and end == len(words))
        _refuse(source, words, position, token)
    depth, growth = _shape(words)
    calls = [t.text for t, after in pairwise(words) if after.text == "("]
    return Outline(
        paths=frozenset(paths),
        plain=plain,
        macros=sum(name in _MACROS for name in calls),
        depth=depth,
        growth=growth,
        patterns="matches" in calls,
        searches="contains" in calls,
        indexes=any(token.text == "[" and _is_operand(before) for before, token in pairwise(words)),
    )


def _starts_path(words: list[Token], position: int) -> bool:
    token = words[position]
    return (
        token.kind is Kind.NAME
        and token.text not in _NO_NAMES
        and _text_at(words, position - 1) != "."
        and _text_at(words, position + 1) != "("
    )


def _require_named(source: str, path: tuple[str, ...]) -> None:
    """Where a value came from must be known from the expression alone."""
    if len(path) == 1 and path[0] in _NAMED:
        raise wrong(source, f'name what you need of it: {path[0]}.a_name or {path[0]}["a-name"]')


def _text_at(words: list[Token], position: int) -> str:
    return words[position].text if 0 <= position < len(words) else ""


def _path(words: list[Token], position: int) -> tuple[tuple[str, ...], int]:
    """The path that starts here, and the place after it."""
    path = [words[position].text]
    place = position + 1
    while place < len(words):
        if _text_at(words, place) == "." and _text_at(words, place + 2) != "(":
            if place + 1 >= len(words):
                break
            path.append(words[place + 1].text)
            place += 2
        elif _text_at(words, place) == "[" and _text_at(words, place + 2) == "]":
            index = words[place + 1]
            if index.kind is not Kind.TEXT or index.literal is None:
                break
            path.append(index.literal)
            place += 3
        else:
            break
    return tuple(path), place


def _macro_at(words: list[Token], position: int) -> bool:
    return (
        words[position].text in _MACROS
        and _text_at(words, position - 1) == "."
        and _text_at(words, position + 1) == "("
    )


def _items(source: str, words: list[Token]) -> frozenset[str]:
    """The names that macros give to the items of lists: `x` in `hosts.all(x, …)`."""
    names = set()
    for position in range(len(words)):
        if _macro_at(words, position) and _text_at(words, position + 3) == ",":
            names.add(_text_at(words, position + 2))
    if taken := names & {*_NAMED, "each"}:
        raise wrong(source, f"'{min(taken)}' has a meaning; give the items another name")
    return frozenset(names)


def _shape(words: list[Token]) -> tuple[int, int]:
    """How many macros are inside one another at most, and how often something may be repeated: by
    `+`, or by a comma in a list or map that is written out."""
    macros: list[bool] = []  # of the brackets that are open, which are a macro's
    literals: list[bool] = []
    depth = growth = 0
    for position, token in enumerate(words):
        if token.text in {"(", "[", "{"}:
            macros.append(position > 0 and _macro_at(words, position - 1))
            literals.append(token.text != "(")
            depth = max(depth, sum(macros))
        elif token.text in _ENDS_OPERAND and macros:
            macros.pop()
            literals.pop()
        growth += token.text == "+" or (token.text == "," and bool(literals) and literals[-1])
    return depth, growth


def _refuse(source: str, words: list[Token], position: int, token: Token) -> None:
    before = words[position - 1] if position else None
    if token.text == "." and (before is None or not _is_operand(before)):
        number = before is not None and before.kind is Kind.NUMBER
        mend = (
            """a name with '-' in it is written steps["a-name"]"""
            if number
            else ("a name cannot begin with '.'")
        )
        raise wrong(source, f"character {token.start + 1}: {mend}")
    if token.text == "{" and before is not None and before.kind is Kind.NAME:
        raise wrong(source, f"character {token.start + 1}: there are no messages, only maps")
    if token.kind is Kind.NAME and token.text == "matches" and _text_at(words, position + 1) == "(":
        # A pattern from a value could be so large that matching takes minutes.
        pattern = words[position + 2] if position + 2 < len(words) else None
        if before is None or before.text != "." or pattern is None or pattern.kind is not Kind.TEXT:
            raise wrong(source, "write the pattern out: text.matches('^web-[0-9]+$')")


def _is_operand(token: Token) -> bool:
    if token.kind is Kind.SIGN:
        return token.text in _ENDS_OPERAND
    return token.kind is not Kind.NUMBER and token.text != "in"
