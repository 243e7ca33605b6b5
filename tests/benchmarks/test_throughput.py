"""The throughput benchmark, in small: it measures what it says, on a machine of any speed."""

from __future__ import annotations

import pytest

from tests.benchmarks.throughput import measure, report


@pytest.mark.slow
def test_it_carries_out_all_workflows_of_both_kinds_and_prints_the_ratio() -> None:
    result = measure(workflows=6, steps=2, at_once=3, rounds=1, replicas=[1, 2])
    assert [(cell.database, cell.replicas, cell.who) for cell in result.cells] == [
        (database, replicas, who)
        for database, replicas in (("sqlite", 1), ("postgresql", 1), ("postgresql", 2))
        for who in ("dbos", "countersign")
    ]
    assert all(cell.per_s > 0 and cell.busy_ms > 0 for cell in result.cells)
    assert (
        0
        < result.ratio("sqlite", 1)
        == pytest.approx(result.cells[0].per_s / result.cells[1].per_s)
    )
    printed = "\n".join(report(result))
    assert "postgresql, 2 replicas" in printed
