"""`/metrics`: valid, and true to what was asked."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator

import httpx2
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from prometheus_client.parser import text_string_to_metric_families

from core.orchestrator.files import catalog
from core.orchestrator.server.engine.steps import StepTimes
from core.orchestrator.wire import DEADLINE_HEADER
from tests.support.model_server import ModelServer, until

CHAT, EMBEDDINGS = catalog.DEFAULT_CHAT_MODEL, catalog.DEFAULT_EMBEDDING_MODEL
PREFIX = "countersign_model_"
Samples = dict[tuple[str, frozenset[str]], float]


@pytest_asyncio.fixture
async def official(model_server: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=model_server.base_url, api_key=model_server.token, max_retries=0
    ) as client:
        yield client


async def read(server: ModelServer) -> str:
    async with httpx2.AsyncClient(trust_env=False) as http:
        url = server.base_url.removesuffix("/v1") + "/metrics"
        answer = await http.get(url, headers={"Authorization": f"Bearer {server.token}"})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return answer.text


async def samples(server: ModelServer) -> Samples:
    families = text_string_to_metric_families(await read(server))
    return {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


class Grown:
    """How much a metric has grown since it was first read."""

    def __init__(self, server: ModelServer, before: Samples) -> None:
        self._server = server
        self._before = before

    async def __call__(self, name: str, *labels: str) -> float:
        key = (name, frozenset(labels))
        return (await samples(self._server)).get(key, 0.0) - self._before.get(key, 0.0)


@pytest_asyncio.fixture
async def grown(model_server: ModelServer) -> Grown:
    return Grown(model_server, await samples(model_server))


async def test_a_reply_is_counted_with_its_tokens(official: AsyncOpenAI, grown: Grown) -> None:
    reply = await official.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": "Count the stars."}], max_tokens=7
    )
    assert reply.usage is not None
    assert await grown("requests_total", "chat", CHAT, "length") == 1
    assert await grown("prompt_tokens_total", CHAT) == reply.usage.prompt_tokens
    assert await grown("generation_tokens_total", CHAT) == 7
    assert await grown("prefix_cache_queries_total", CHAT) == reply.usage.prompt_tokens
    details = reply.usage.prompt_tokens_details
    assert details is not None
    assert await grown("prefix_cache_hits_total", CHAT) == details.cached_tokens
    assert await grown("time_to_first_token_seconds_count", CHAT) == 1
    assert await grown("e2e_request_latency_seconds_count", "chat", CHAT) == 1
    first = await grown("time_to_first_token_seconds_sum", CHAT)
    assert 0 < first <= await grown("e2e_request_latency_seconds_sum", "chat", CHAT)
    assert await grown("engine_step_seconds_count") >= 4  # a token a step but for the first ones


async def test_what_runs_is_seen_and_who_leaves_is_counted(
    official: AsyncOpenAI, model_server: ModelServer, grown: Grown
) -> None:
    stream = await official.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "Write a very long story."}],
        max_tokens=2000,
        stream=True,
    )
    await anext(aiter(stream))
    assert await grown("num_requests_running", "chat") == 1
    await stream.close()

    async def left() -> bool:
        return await grown("requests_total", "chat", CHAT, "cancelled") == 1

    await until(left)
    assert await grown("generation_tokens_total", CHAT) >= 1
    assert await grown("e2e_request_latency_seconds_count", "chat", CHAT) == 0

    async def idle() -> bool:
        now = await samples(model_server)
        return now["num_requests_running", frozenset({"chat"})] == 0

    await until(idle)


async def test_refusals_are_counted_by_their_code(official: AsyncOpenAI, grown: Grown) -> None:
    question = {"role": "user", "content": "Write a very long story."}
    with pytest.raises(openai.NotFoundError):
        await official.chat.completions.create(model="no-such", messages=[question])
    with pytest.raises(openai.BadRequestError):
        await official.chat.completions.create(model=CHAT, messages=[])
    with pytest.raises(openai.AuthenticationError):
        await official.with_options(api_key="wrong").embeddings.create(model=EMBEDDINGS, input="x")
    with pytest.raises(openai.InternalServerError):
        await official.chat.completions.create(
            model=CHAT, messages=[question], extra_headers={DEADLINE_HEADER: "0.2"}
        )
    assert await grown("requests_total", "chat", "", "model_not_found") == 1
    assert await grown("requests_total", "chat", "", "invalid_request") == 1
    assert await grown("requests_total", "embeddings", "", "invalid_api_key") == 1
    assert await grown("requests_total", "chat", CHAT, "deadline_exceeded") == 1


async def test_the_state_of_the_server_is_there(model_server: ModelServer) -> None:
    now = await samples(model_server)
    for kind in ("chat", "short", "embeddings"):
        assert now["num_requests_waiting", frozenset({kind})] == 0
    assert now["loaded", frozenset({CHAT})] == now["loaded", frozenset({EMBEDDINGS})] == 1
    none: frozenset[str] = frozenset()
    assert now["process_resident_memory_bytes", none] > now["weights_bytes", none] > 50e6
    assert now["weights_limit_bytes", none] > now["weights_bytes", none]


async def test_strangers_read_no_metrics(model_server: ModelServer) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(model_server.base_url.removesuffix("/v1") + "/metrics")
    assert answer.status_code == 401


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
async def test_promtool_finds_nothing_to_complain_of(
    official: AsyncOpenAI, model_server: ModelServer
) -> None:
    await official.embeddings.create(model=EMBEDDINGS, input="a text")
    text = await read(model_server)
    checked = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stderr + checked.stdout) == (0, "")


def test_steps_are_counted_in_buckets() -> None:
    times = StepTimes()
    for seconds in (0.0005, 0.02, 0.02, 9.0):
        times.add(seconds)
    buckets, total = times.cumulative()
    counts = dict(buckets)
    assert (counts["0.001"], counts["0.01"], counts["0.025"], counts["2.5"]) == (1, 1, 3, 3)
    assert counts["+Inf"] == 4
    assert total == pytest.approx(9.0405)
