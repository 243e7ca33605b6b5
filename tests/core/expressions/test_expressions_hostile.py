"""No expression and no value hangs or ends the process, or takes its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from core.expressions import compile_expression
from tests.core.expressions.hostile_child import cases

ROOT = Path(__file__).parents[3]


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
