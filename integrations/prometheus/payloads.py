"""What Prometheus' HTTP API answers to queries.

https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from integrations.webhooks import Payload


def _number(value: object) -> object:
    """Prometheus writes values as text, to keep NaN and infinities; those are None here."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else None
    return value


Number = Annotated[float | None, BeforeValidator(_number)]
Point = tuple[float, Number]
"""Seconds since 1970 in UTC, and the value then; None where it is NaN or infinite."""


class Series(Payload):
    """One series of an instant query's vector."""

    metric: dict[str, str] = Field(default_factory=dict)
    value: Point


class RangeSeries(Payload):
    """One series of a range query's matrix; a series without `values` has histograms only."""

    metric: dict[str, str] = Field(default_factory=dict)
    values: tuple[Point, ...] = ()


class Vector(Payload):
    """`data` of a query whose value is a series for each set of labels."""

    type: Literal["vector"] = Field(alias="resultType")
    result: tuple[Series, ...]


class ScalarData(Payload):
    """`data` of a query whose value is one number."""

    type: Literal["scalar"] = Field(alias="resultType")
    result: Point


class Matrix(Payload):
    """`data` of a range query."""

    type: Literal["matrix"] = Field(alias="resultType")
    result: tuple[RangeSeries, ...]


class QueryAnswer(Payload):
    """The answer of `/api/v1/query`."""

    status: Literal["success"]
    data: Annotated[Vector | ScalarData, Field(discriminator="type")]
    warnings: tuple[str, ...] = ()


class RangeAnswer(Payload):
    """The answer of `/api/v1/query_range`."""

    status: Literal["success"]
    data: Matrix
    warnings: tuple[str, ...] = ()
