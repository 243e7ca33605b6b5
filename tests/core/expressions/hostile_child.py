"""Evaluates what is meant to hang or crash the process that does it; one line out for each.

Run as a process of its own, by `test_expressions_hostile.py`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from core.expressions import ExpressionError, compile_expression
from core.expressions.lexer import MOST_CHARACTERS
from core.expressions.values import MOST_VALUES

_MEMORY = 2 << 30
_DIGITS = "[0,1,2,3,4,5,6,7,8,9]"


def _filled(head: str, unit: str, tail: str = "") -> str:
    return head + unit * ((MOST_CHARACTERS - len(head) - len(tail)) // len(unit)) + tail


def _nested(opening: str, closing: str, middle: str = "1", room: int = MOST_CHARACTERS) -> str:
    depth = (room - len(middle)) // (len(opening) + len(closing))
    return opening * depth + middle + closing * depth


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _cycle() -> list[Any]:
    around: list[Any] = []
    around.append(around)
    return around


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, expression and values."""
    most = "a" * (MOST_VALUES - 1_000)
    hundred, ten_thousand = list(range(100)), list(range(10_000))
    # Nesting that overflows the stack of a recursive parser or evaluator.
    yield "parentheses", _nested("(", ")"), {}
    yield "lists", _nested("[", "]"), {}
    yield "maps", _nested("{'a':", "}"), {}
    yield "calls", _nested("size(", ")"), {}
    yield "negations", _filled("", "!", "true"), {}
    yield "sums", _filled("1", "+1"), {}
    yield "ands", _filled("true", "&&true"), {}
    yield "choices", _filled("", "true?1:", "1"), {}
    yield "indexes", _filled("a", "[0]"), {"a": [[0]]}
    yield "fields", _filled("a", ".a"), {"a": {"a": 1}}
    yield "long", "a" * (MOST_CHARACTERS + 1), {"a": 1}
    # Going through lists within lists, and growing with each round.
    yield "rounds", "".join(f"{_DIGITS}.all({c}," for c in "abcdefghi") + "true" + ")" * 9, {}
    yield "doubling", "['a']" + ".map(x,x+x+x+x+x+x+x+x+x+x)" * 9, {}
    yield "pairs", "['a']" + ".map(x,[x,x,x,x,x,x,x,x,x])" * 9, {}
    yield "copies", "l.map(x, s+s+s)", {"l": ten_thousand[:9_000], "s": "a" * 1_000}
    yield "bytes", "l.map(x, bytes(s))", {"l": hundred, "s": most[:200_000]}
    yield "product", "l.all(x, l.all(y, l.all(z, x+y+z >= 0)))", {"l": hundred}
    # Regular expressions and searches that take long.
    yield "pattern", "s.matches('" + "(a+)+" * 700 + "')", {"s": most}
    yield "backtracking", "s.matches('(a+)+$')", {"s": "a" * 1_000 + "!"}
    yield "program", "'a'.matches('" + "[a-z]{1000}" * 300 + "')", {}
    yield "repeats", "'a'.matches('((((a{99}){99}){99}){99}){99}')", {}
    yield "groups", "'a'.matches('" + _nested("(", ")", "a", 3_900) + "')", {}
    yield "patterns", "l.filter(x, s.matches('(.*a.*){5}b'))", {"l": hundred, "s": "a" * 40_000}
    yield "search", "s.contains(p)", {"s": most[:124_000], "p": most[:60_000] + "b"}
    yield "searches", "l.all(x, s.contains(p))", {"l": hundred, "s": most[:9_000], "p": "a" * 99}
    # Values that are too large, too deep, or not what they seem.
    yield "deep", "size(a)", {"a": _deep(100_000)}
    yield "equal", "a == b", {"a": _deep(100_000), "b": _deep(100_000)}
    yield "cycle", "size(a)", {"a": _cycle()}
    yield "huge", "size(a)", {"a": "a" * 20_000_000}
    yield "wide", "size(a)", {"a": [0] * 1_000_000}
    yield "integer", "a + 1", {"a": 10**5_000}
    yield "digits", "int(a)", {"a": "9" * 200_000}
    yield "surrogate", "a + 'x'", {"a": "\ud800\x00"}
    yield "zone", "timestamp('2026-01-01T00:00:00Z').getHours(a)", {"a": "../" * 1_000}
    yield "utf8", "string(b'\\xff\\xfe')", {}
    yield "object", "a == 1", {"a": object()}


def main() -> None:
    """A JSON object for each case: its name, its outcome, and the seconds that it took."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    for name, source, values in cases():
        begun = time.perf_counter()
        try:
            compile_expression(source, None).evaluate(values)
            outcome = "value"
        except ExpressionError as error:
            outcome = f"error of {len(str(error))} characters"
        seconds = time.perf_counter() - begun
        sys.stdout.write(json.dumps({"name": name, "outcome": outcome, "s": seconds}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
