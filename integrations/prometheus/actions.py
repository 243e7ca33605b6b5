"""What workflows can ask Prometheus. All of it reads; a token needs to read only.

Libraries: PyPI's `prometheus-api-client` brings pandas, numpy and matplotlib for what is two
calls here, and blocks the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, ClassVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionContext, ActionResult
from core.workflows.definition import Duration, spoken
from integrations.calling import SystemClient
from integrations.prometheus.payloads import (
    Point,
    QueryAnswer,
    RangeAnswer,
    RangeSeries,
    ScalarData,
    Series,
)
from integrations.prometheus.table import labels_of, lines, shown, sparkline
from integrations.text import clip

Expression = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=8000),
    Field(description="PromQL"),
]
_ROWS = 20
_POINTS = 240
"""Of a range query that names no step: enough for a picture, cheap for the server."""


class QueryArguments(BaseModel):
    """What is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: Expression


class RangeArguments(QueryArguments):
    """What is asked, over which time up to now.

    Attributes:
        step: between two values; by default a 240th of `over`, at least 1 s.
    """

    over: Duration = Field(
        default=timedelta(hours=1), ge=timedelta(minutes=1), le=timedelta(days=31)
    )
    step: Duration | None = Field(default=None, ge=timedelta(seconds=1), le=timedelta(days=1))

    @property
    def seconds(self) -> int:
        """The step in seconds, never so small that Prometheus refuses (11,000 points)."""
        whole = self.over.total_seconds()
        asked = self.step.total_seconds() if self.step else whole / _POINTS
        return max(round(asked), 1, int(whole // 10_000))


class Prometheus:
    """One server, as both actions need it.

    Args:
        web_url: where people open it.
        max_series: of one answer that a run keeps; more are counted only.
        timeout_s: seconds after which the server is to give a query up.
    """

    def __init__(
        self, client: SystemClient, web_url: str, max_series: int, timeout_s: float
    ) -> None:
        self._client = client
        self._web_url = web_url.rstrip("/")
        self.max_series = max_series
        self._timeout = f"{max(1, int(timeout_s))}s"

    async def query(self, query: str) -> QueryAnswer:
        """The value now."""
        answer = await self._client.call(
            "POST",  # as a form, for queries longer than an address may be
            "/api/v1/query",
            form={"query": query, "timeout": self._timeout},
            idempotent=True,
        )
        return answer.read(QueryAnswer)

    async def query_range(self, query: str, start: float, end: float, step: int) -> RangeAnswer:
        """The values between two times, in seconds since 1970."""
        form = {
            "query": query,
            "start": f"{start:.3f}",
            "end": f"{end:.3f}",
            "step": str(step),
            "timeout": self._timeout,
        }
        answer = await self._client.call("POST", "/api/v1/query_range", form=form, idempotent=True)
        return answer.read(RangeAnswer)

    def link(self, query: str, over: timedelta | None = None) -> str | None:
        """The query's page; None where it would be too long for a link."""
        tab = f"g0.range_input={int(over.total_seconds())}s&g0.tab=0" if over else "g0.tab=1"
        url = f"{self._web_url}/graph?g0.expr={quote(query, safe='')}&{tab}"
        return url if len(url) <= 2000 else None


class Query(Action[QueryArguments]):
    """Ask for the value of an expression now. NATURAL: it changes nothing.

    Values: `count` of series; `value`, where there is exactly one; `min`, `max` and `sum` of all;
    `series` with `labels` and `value` of each. A value is null where there is none, or where it
    is NaN or infinite, so that a comparison with it fails instead of passing.
    """

    name: ClassVar[str] = "prometheus.query"
    summary: ClassVar[str] = "Ask Prometheus for the value of an expression"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = QueryArguments

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    def describe(self, arguments: QueryArguments) -> str:
        """See `Action.describe`."""
        return f"Ask Prometheus: {clip(arguments.query, 1000)}"

    async def preview(self, arguments: QueryArguments) -> str | None:
        """See `Action.preview`. What it says now: asking changes nothing."""
        result = await self._ask(arguments)
        return f"now: {result.summary}\n{result.output}".strip()

    async def execute(self, arguments: QueryArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        return await self._ask(arguments)

    async def _ask(self, arguments: QueryArguments) -> ActionResult:
        answer = await self._prometheus.query(arguments.query)
        series = _series_of(answer)
        known = [number for one in series if (number := one.value[1]) is not None]
        values: dict[str, JsonValue] = {
            "count": len(series),
            "value": series[0].value[1] if len(series) == 1 else None,
            "min": min(known, default=None),
            "max": max(known, default=None),
            "sum": sum(known) if known else None,
            "series": [
                {"labels": _labels(one.metric), "value": one.value[1]}
                for one in series[: self._prometheus.max_series]
            ],
        }
        rows = [(shown(one.value[1]), labels_of(one.metric)) for one in series if one.metric]
        return ActionResult(
            summary=_said([one.value for one in series], "Prometheus has no data for it now"),
            output=_with_warnings(lines(rows, _ROWS), answer.warnings),
            values=values,
            link=self._prometheus.link(arguments.query),
        )


class QueryRange(Action[RangeArguments]):
    """Ask for the course of an expression's value up to now. NATURAL: it changes nothing.

    Values: `count` of series; `min` and `max` of all; `first`, `last` and `mean`, where there is
    exactly one; `series` with `labels`, `min`, `max`, `mean`, `first` and `last` of each.
    """

    name: ClassVar[str] = "prometheus.query_range"
    summary: ClassVar[str] = "Ask Prometheus for the course of an expression's value"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = RangeArguments

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus

    def describe(self, arguments: RangeArguments) -> str:
        """See `Action.describe`."""
        return (
            f"Ask Prometheus for the last {spoken(arguments.over)} of: "
            f"{clip(arguments.query, 1000)}"
        )

    async def preview(self, arguments: RangeArguments) -> str | None:
        """See `Action.preview`. What it says now: asking changes nothing."""
        result = await self._ask(arguments)
        return f"now: {result.summary}\n{result.output}".strip()

    async def execute(self, arguments: RangeArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        return await self._ask(arguments)

    async def _ask(self, arguments: RangeArguments) -> ActionResult:
        end = time.time()
        start = end - arguments.over.total_seconds()
        answer = await self._prometheus.query_range(arguments.query, start, end, arguments.seconds)
        series = [one for one in answer.data.result if one.values]
        measured = [_measures(one) for one in series]
        points = [point for one in series for point in one.values]
        known = [number for _, number in points if number is not None]
        single = measured[0] if len(measured) == 1 else {}
        each: list[JsonValue] = [
            {"labels": _labels(one.metric), **measures}
            for one, measures in zip(series, measured, strict=True)
        ]
        values: dict[str, JsonValue] = {
            "count": len(series),
            "min": min(known, default=None),
            "max": max(known, default=None),
            **{name: single.get(name) for name in ("first", "last", "mean")},
            "series": each[: self._prometheus.max_series],
        }
        heading = [("min", "max", "last", "")] if series else []
        rows = [
            (
                *(shown(measures[name]) for name in ("min", "max", "last")),
                f"{sparkline(one.values, start, end)}  {labels_of(one.metric)}",
            )
            for one, measures in zip(series, measured, strict=True)
        ]
        return ActionResult(
            summary=_said(points, "Prometheus has no data for it in that time", len(series)),
            output=_with_warnings(lines(heading + rows, _ROWS + 1), answer.warnings),
            values=values,
            link=self._prometheus.link(arguments.query, arguments.over),
        )


def _series_of(answer: QueryAnswer) -> tuple[Series, ...]:
    """The series of a vector; a scalar is one without labels."""
    if isinstance(answer.data, ScalarData):
        return (Series(metric={}, value=answer.data.result),)
    return answer.data.result


def _labels(metric: dict[str, str]) -> dict[str, JsonValue]:
    return {clip(name, 100): clip(value, 300) for name, value in sorted(metric.items())[:64]}


def _measures(series: RangeSeries) -> dict[str, float | None]:
    known = [number for _, number in series.values if number is not None]
    return {
        "min": min(known, default=None),
        "max": max(known, default=None),
        "mean": sum(known) / len(known) if known else None,
        "first": series.values[0][1],
        "last": series.values[-1][1],
    }


def _said(points: Sequence[Point], nothing: str, count: int | None = None) -> str:
    """One line: how many series, and between which values."""
    count = len(points) if count is None else count
    known = [number for _, number in points if number is not None]
    if not count:
        return nothing
    if not known:
        return f"{count} series, none with a finite value"
    low, high = shown(min(known)), shown(max(known))
    between = low if low == high else f"{low} to {high}"
    return between if count == 1 else f"{count} series: {between}"


def _with_warnings(text: str, warnings: Sequence[str]) -> str:
    return "\n".join(
        [*([text] if text else []), *(f"warning: {clip(w, 300)}" for w in warnings[:5])]
    )
