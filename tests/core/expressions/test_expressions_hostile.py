"""No expression and no value hangs or ends the process, or takes its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.expressions import ExpressionError, compile_expression
from core.expressions.values import MOST_VALUES
from tests.core.expressions.hostile_child import cases

ROOT = Path(__file__).parents[3]


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_meant_to_hang_or_crash_ends_at_once_with_a_value_or_an_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.expressions.hostile_child"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {told[-1:]}: {done.stderr[-500:]}"
    assert [one["name"] for one in told] == [name for name, _, _ in cases()]
    slow = [one for one in told if one["s"] > 2]
    assert slow == []
    endless = [one for one in told if "error" in one["outcome"] and len(one["outcome"]) > 26]
    assert endless == []  # 4 digits: an error shows a part of what is wrong


def test_ordinary_work_on_ordinary_values_is_far_from_the_limits() -> None:
    pods = [{"name": f"web-{n}", "status": "Running" if n % 7 else "Failed"} for n in range(400)]
    failed = compile_expression(
        "steps.look.pods.filter(p, p.status != 'Running').map(p, p.name)", None
    )
    assert len(failed.evaluate({"steps": {"look": {"pods": pods}}})) == 58  # type: ignore[arg-type]
    hosts = [f"host-{n}" for n in range(50)]
    named = compile_expression("parameters.hosts.map(h, h + '.example.com')", None)
    assert named.evaluate({"parameters": {"hosts": hosts}}) == [f"{h}.example.com" for h in hosts]
    log = compile_expression("steps.build.output.matches('(?i)error: .*timeout')", None)
    assert log.evaluate({"steps": {"build": {"output": "Error: a timeout" + "x" * 60_000}}})


@pytest.mark.parametrize(
    ("within", "beyond", "says"),
    [
        (_nested(30), _nested(33), "'a' is nested deeper than 32 levels"),
        ("x" * (MOST_VALUES - 1), "x" * (MOST_VALUES + 1), "'a' is too large"),
        ([0] * (MOST_VALUES - 1), [0] * MOST_VALUES, "'a' is too large"),
        (2**53 - 1, 2**53, "'a' holds an integer beyond"),
    ],
)
def test_values_have_limits_that_are_told(within: Any, beyond: Any, says: str) -> None:
    asked = compile_expression("a == 'b'", None)
    assert asked.evaluate({"a": within}) is False
    with pytest.raises(ExpressionError, match=says):
        asked.evaluate({"a": beyond})


def test_a_name_that_stands_alone_has_no_limit() -> None:
    assert compile_expression("a", None).evaluate({"a": "x" * 10**6}) == "x" * 10**6
