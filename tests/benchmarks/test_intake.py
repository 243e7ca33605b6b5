"""The benchmark of the intake in small: every delivery that was answered is in the database."""

from __future__ import annotations

import pytest

from tests.benchmarks.intake import WHO, measure, report


@pytest.mark.slow
def test_it_measures_all_three_and_prints_the_ratios() -> None:
    result = measure(seconds=1, connections=8, rounds=1)
    for who in WHO:
        (one,) = result.rounds[who]
        assert one.requests > 0
        assert (one.refused, one.broken) == (0, 0)
        assert 0 < one.p50_us <= one.p99_us
    assert all(result.rounds[who][0].stored > 0 for who in ("sqlite", "postgresql"))
    assert "postgresql" in "\n".join(report(result))
