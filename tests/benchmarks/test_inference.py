"""The inference benchmark in small: every figure and every ratio comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.orchestrator.files import catalog
from tests.benchmarks.inference import OWN, PARTS, Result, measure, report
from tests.benchmarks.inference_task import Task


@pytest.mark.slow
def test_it_measures_both_and_prints_the_ratios_without_llama_cpp(models_dir: Path) -> None:
    model = models_dir / catalog.DEFAULT_CHAT_MODEL
    task = Task(
        model=model,
        threads=1,
        batches=(1, 2),
        start=4,
        new=3,
        prompt=8,
        repeats=1,
        text=16,
        choice_words=8,
        mixed=3,
        mixed_words=12,
        runbooks=1,
        summary=4,
    )
    result = measure(task, rounds=1, parts=PARTS, llama=None, prefix=16)
    assert set(result.rates) == {"transformers", "ours"}
    for rates in result.rates.values():
        assert list(rates) == ["decode 1", "decode 2", "prefill 8"]
        assert all(len(rounds) == 1 and rounds[0] > 0 for rounds in rates.values())
    assert result.first_token is not None
    assert result.first_token.ratio > 0
    assert list(result.own) == list(OWN)
    assert result.own["choice"]["ratio"] > 0
    assert result.own["constrained"]["ratio 2"] > 0
    assert result.own["mixed"]["requests"] == 3
    assert result.own["summaries"]["runbooks"] == 1
    assert list(result.perplexity) == ["bfloat16", "int8", "int4"]
    assert all(value > 1 for value in result.perplexity.values())
    printed = "\n".join(report(result))
    assert "llama.cpp is left out" in printed
    assert "decode 2" in printed
    assert "mixed: requests 3" in printed


def test_a_ratio_is_the_median_of_the_rounds_and_a_loss_is_above_bfloat16() -> None:
    result = Result(
        threads=2,
        rounds=3,
        load=(0.0, 0.0),
        rates={"llama.cpp": {"decode 1": [10, 10, 20]}, "ours": {"decode 1": [20, 30, 20]}},
        perplexity={"bfloat16": 10.0, "int4": 10.3},
    )
    assert result.ratio("llama.cpp", "decode 1") == 2
    assert result.loss("int4") == pytest.approx(0.03)
    assert "+3.00%" in "\n".join(report(result))
