"""What servers tell of their load."""

from __future__ import annotations

import pytest

from core.orchestrator.client.load import Told, vllm_load

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-8B"} 12.0
vllm:num_requests_running{engine="1",model_name="Qwen/Qwen3-8B"} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-8B"} 5.0
vllm:num_requests_waiting{engine="1",model_name="Qwen/Qwen3-8B"} 0.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 5.0
vllm:prompt_tokens_total{engine="0",model_name="Qwen/Qwen3-8B"} 1.234567e+06
"""


def test_the_engines_of_one_server_are_summed() -> None:
    assert vllm_load(METRICS.splitlines()) == Told(running=15, waiting=5, ours=False)


@pytest.mark.parametrize(
    ("line", "running"),
    [
        ("vllm:num_requests_running 7", 7),
        ("vllm:num_requests_running 7.0 1395066363000", 7),
        ('vllm:num_requests_running{model_name="a } b 9"} 2.0', 2),
        ('vllm:num_requests_running{model_name="a"} 1e2', 100),
    ],
)
def test_forms_of_a_sample(line: str, running: int) -> None:
    assert vllm_load([line]) == Told(running, 0, ours=False)


@pytest.mark.parametrize(
    "line",
    [
        "vllm:num_requests_running_total 7",
        "# vllm:num_requests_running 7",
        "vllm:num_requests_running NaN",
        "vllm:num_requests_running +Inf",
        "vllm:num_requests_running -1",
        "vllm:num_requests_running many",
        'vllm:num_requests_running{model_name="a"}',
        "",
    ],
)
def test_what_is_no_load_is_none(line: str) -> None:
    assert vllm_load([line]) is None
