"""Queries, against Debian's real Prometheus; what it does not say by itself, against a server that
answers as its API's page documents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core.errors import ConfigurationError, InvalidRequestError
from core.expressions import ExpressionError, compile_expression
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry
from integrations.calling import RefusedError
from integrations.prometheus import PrometheusIntegration
from integrations.prometheus.table import labels_of, lines, sparkline
from tests.support.intake import attempt
from tests.support.prometheus import RunningPrometheus, prometheus
from tests.support.until import until

SHOPS = ["queue_length 12", 'requests_total{shop="a"} 1', 'requests_total{shop="b"} 3']


@asynccontextmanager
async def connected(
    url: str, secrets: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[PrometheusIntegration]:
    named = {name: name.upper() for name in secrets or {}}
    record = AIIntegration(
        id="prometheus", kind="prometheus", settings={"url": url, **settings}, secrets=named
    )
    values = Secrets({name.upper(): value for name, value in (secrets or {}).items()})
    integration = PrometheusIntegration.create(record, values)
    await integration.start()
    yield integration
    await integration.close()


def action(integration: PrometheusIntegration, name: str = "prometheus.query") -> Action[Any]:
    return ActionRegistry(integration.actions()).get(name)


class TestTheRealProgram:
    @pytest.fixture
    async def running(self, tmp_path: Path) -> AsyncIterator[RunningPrometheus]:
        async with prometheus(tmp_path) as started:
            started.metrics.lines = SHOPS
            yield started

    async def test_answers_queries(self, running: RunningPrometheus) -> None:
        async with connected(running.url) as integration:
            query = action(integration)

            async def ask(expression: str) -> Any:
                return await query.execute(query.read({"query": expression}), attempt())

            async def scraped() -> bool:
                return bool((await ask("requests_total")).values["count"] == 2)

            await until(scraped, "the page is scraped", limit_s=60)
            both = await ask("sort(requests_total)")
            one = await ask("sum(requests_total) / 2")
            scalar = await ask("scalar(queue_length) + 1")
            nothing = await ask("absent_metric")
            infinite = await ask("vector(1) / 0")
            health = await integration.health()

        assert both.summary == "2 series: 1 to 3"
        assert both.values["value"] is None
        assert (both.values["min"], both.values["max"], both.values["sum"]) == (1, 3, 4)
        series = both.values["series"]
        assert [one["labels"]["shop"] for one in series] == ["a", "b"]
        assert [one["value"] for one in series] == [1, 3]
        first, second = both.output.splitlines()
        assert first.startswith("1  requests_total{")
        assert 'shop="b"' in second
        assert (one.summary, one.values["value"], one.output) == ("2", 2, "")
        assert scalar.values["value"] == 13
        assert nothing.values | {"series": []} == {
            "count": 0, "value": None, "min": None, "max": None, "sum": None, "series": []
        }  # fmt: skip
        assert nothing.summary == "Prometheus has no data for it now"
        assert infinite.values["value"] is None
        assert one.link == f"{running.url}/graph?g0.expr=sum%28requests_total%29%20%2F%202&g0.tab=1"
        assert health.ready
        assert health.detail == "answers queries"

    async def test_a_guardrail_over_no_data_does_not_pass(self, running: RunningPrometheus) -> None:
        """As a precondition evaluates `expect`, with what a run would keep."""
        async with connected(running.url) as integration:
            query = action(integration)

            async def holds(expression: str, expect: str) -> bool:
                result = await query.execute(query.read({"query": expression}), attempt())
                scope = {"values": result.values, "parameters": {}}
                return compile_expression(expect, None).holds(scope)

            assert await holds("vector(0.04)", "values.value < 0.05")
            assert await holds("vector(1)", "values.value == 1 && values.count == 1")
            assert not await holds("vector(0.06)", "values.value < 0.05")
            for nothing in ("absent_metric", "vector(0) / 0", "vector(-1) / 0"):
                with pytest.raises(ExpressionError):
                    await holds(nothing, "values.value < 0.05")

    async def test_shows_the_course_of_a_value(self, running: RunningPrometheus) -> None:
        async with connected(running.url) as integration:
            query = action(integration, "prometheus.query_range")
            arguments = query.read({"query": "queue_length", "over": "1m", "step": "1s"})

            async def rises() -> Any:
                running.metrics.lines = ["queue_length 50"]
                result = await query.execute(arguments, attempt())
                return result if result.values["last"] == 50 else None

            async def low() -> bool:
                now = action(integration)
                old = now.read({"query": "queue_length offset 2s"})
                return bool((await now.execute(old, attempt())).values["value"] == 12)

            await until(low, "the first value is 2 s old", limit_s=60)
            result = await until(rises, "the second value is scraped", limit_s=60)
            preview = await query.preview(arguments)

        assert result.summary == "12 to 50"
        assert {"count": 1, "min": 12, "max": 50, "first": 12, "last": 50}.items() <= (
            result.values.items()
        )
        assert 12 < result.values["mean"] < 50
        heading, row = result.output.splitlines()
        assert heading.split() == ["min", "max", "last"]
        assert row.split()[:3] == ["12", "50", "50"]
        assert "▁" in row
        assert "█" in row
        assert preview is not None
        assert preview.startswith("now: 12 to 50\n")
        assert query.describe(arguments) == "Ask Prometheus for the last 1 min of: queue_length"

    async def test_an_expression_that_is_none(self, running: RunningPrometheus) -> None:
        async with connected(running.url) as integration:
            query = action(integration)
            with pytest.raises(RefusedError, match=r"400 Bad Request.*parse error"):
                await query.preview(query.read({"query": "sum(("}))

    async def test_more_points_than_it_gives_are_not_asked_for(
        self, running: RunningPrometheus
    ) -> None:
        async with connected(running.url) as integration:
            query = action(integration, "prometheus.query_range")
            month = query.read({"query": "queue_length", "over": "31d", "step": "1s"})
            assert await query.preview(month)


class Documented:
    """A server that answers each call with `answer` and keeps what it was asked."""

    def __init__(self, answer: Any, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.asked: list[dict[str, str]] = []
        self.authorization: list[str | None] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append({name: str(value) for name, value in (await request.post()).items()})
        self.authorization.append(request.headers.get("Authorization"))
        return web.json_response(self.answer, status=self.status)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/api/v1/{call:query|query_range}", self.handle)
        app.router.add_get("/api/v1/query", self.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()


def vector(*values: tuple[dict[str, str], str], **more: Any) -> dict[str, Any]:
    result = [{"metric": metric, "value": [1435781451.781, value]} for metric, value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


class TestAnswers:
    async def test_a_run_keeps_few_series_and_counts_all(self) -> None:
        many = Documented(vector(*[({"n": str(n)}, str(n)) for n in range(200)]))
        async with many.serve() as url, connected(url, max_series=3) as integration:
            query = action(integration)
            result = await query.execute(query.read({"query": "up"}), attempt())
        assert result.values["count"] == 200
        assert len(result.values["series"]) == 3
        assert result.output.splitlines()[-1] == "… and 180 more"
        assert many.asked == [{"query": "up", "timeout": "20s"}]

    async def test_warnings_are_shown(self) -> None:
        partial = Documented(vector(({}, "NaN"), warnings=["a store\nis away"]))
        async with partial.serve() as url, connected(url) as integration:
            query = action(integration)
            result = await query.execute(query.read({"query": "up"}), attempt())
        assert result.output == "warning: a store is away"
        assert result.values["value"] is None
        assert result.summary == "1 series, none with a finite value"

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            {"status": "success"},
            {"status": "success", "data": {"resultType": "matrix", "result": []}},
            vector(({}, "many")),
        ],
    )
    async def test_what_is_not_an_answer(self, answer: Any) -> None:
        async with Documented(answer).serve() as url, connected(url) as integration:
            query = action(integration)
            with pytest.raises(ActionError, match="not what its API documents"):
                await query.execute(query.read({"query": "up"}), attempt())

    @pytest.mark.parametrize(
        ("secrets", "settings", "header"),
        [
            ({}, {}, None),
            ({"token": "t0ken"}, {}, "Bearer t0ken"),
            ({"password": "pässword"}, {"username": "ops"}, "Basic b3BzOnDDpHNzd29yZA=="),
        ],
    )
    async def test_its_credential(
        self, secrets: dict[str, str], settings: dict[str, str], header: str | None
    ) -> None:
        server = Documented(vector(({}, "1")))
        async with server.serve() as url, connected(url, secrets, **settings) as integration:
            assert (await integration.health()).ready
        assert server.authorization == [header]

    async def test_its_health_says_what_is_wrong(self) -> None:
        refusing = Documented({"status": "error"}, status=401)
        async with refusing.serve() as url, connected(url, {"token": "old"}) as integration:
            health = await integration.health()
        assert not health.ready
        assert "integrations/prometheus.yaml" in health.detail
        assert "old" not in health.detail.replace("integrations/", "").split()


class TestArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"query": ""},
            {"query": "  "},
            {"query": "x" * 8001},
            {"query": "up", "time": "1"},
            {"query": "up", "over": "32d"},
            {"query": "up", "step": "0s"},
        ],
    )
    def test_are_limited(self, arguments: Any) -> None:
        integration = PrometheusIntegration.create(
            AIIntegration(id="p", kind="prometheus", settings={"url": "http://prometheus:9090"}),
            Secrets({}),
        )
        with pytest.raises(InvalidRequestError, match=r"prometheus\.query_range"):
            action(integration, "prometheus.query_range").read(arguments)

    def test_it_only_looks(self) -> None:
        integration = PrometheusIntegration.create(
            AIIntegration(id="p", kind="prometheus", settings={"url": "http://prometheus:9090"}),
            Secrets({}),
        )
        for one in integration.actions():
            arguments = one.read({"query": "up"})
            assert one.only_looks(arguments)
            assert one.risk_of(arguments) is Risk.READ
            assert one.idempotency_of(arguments) is Idempotency.NATURAL

    @pytest.mark.parametrize(
        ("settings", "secrets", "problem"),
        [
            ({}, {}, r"settings\.url"),
            ({"url": "prometheus:9090"}, {}, r"settings\.url"),
            ({"url": "http://p", "username": "ops"}, {}, "of use together only"),
            ({"url": "http://p", "username": "a:b"}, {"password": "P"}, r"settings\.username"),
            ({"url": "http://p"}, {"password": "P"}, "of use together only"),
            ({"url": "http://p"}, {"token": "T", "password": "P"}, "not both"),
            ({"url": "http://p"}, {"token": "LINES"}, "cannot stand in a header"),
            ({"url": "http://p"}, {"key": "T"}, "has no secret key"),
        ],
    )
    def test_settings_that_cannot_work(self, settings: Any, secrets: Any, problem: str) -> None:
        record = AIIntegration(id="p", kind="prometheus", settings=settings, secrets=secrets)
        values = Secrets({"T": "t", "P": "p", "LINES": "a\nb"})
        with pytest.raises(ConfigurationError, match=problem):
            PrometheusIntegration.create(record, values)


class TestTables:
    def test_a_sparkline_has_a_character_for_each_slice_of_time(self) -> None:
        points = [(0.0, 0.0), (1.0, 7.0), (2.0, None), (3.0, 3.0)]
        assert sparkline(points, 0, 4, columns=4) == "▁█ ▄"

    def test_a_constant_is_in_the_middle(self) -> None:
        assert sparkline([(0.0, 5.0), (1.0, 5.0)], 0, 2, columns=2) == "▄▄"

    def test_nothing_is_nothing(self) -> None:
        assert sparkline([(0.0, None)], 0, 2) == ""
        assert lines([], 5) == ""

    def test_labels_are_on_one_line(self) -> None:
        assert labels_of({"__name__": "up", "b": "2\n`", "a": "1"}) == 'up{a="1", b="2 `"}'
        assert labels_of({"__name__": "up"}) == "up"
        assert labels_of({}) == "{}"
