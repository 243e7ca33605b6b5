"""Rate: not more than so many runs in a stretch of time, and a pause after each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from core.records import Instant
from core.workflows.definition import Duration, spoken
from core.workflows.guardrails.base import (
    Claims,
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Rate,
    Situation,
    World,
    Written,
)

_LONGEST = timedelta(days=366)


class RateLimit(Guardrail):
    """At most `limit` runs begin in any stretch of `per`, and none sooner than `cool_down` after
    another.

    Attributes:
        of: what is counted: runs of this workflow, or runs of any workflow on the same target.
    """

    overridable: ClassVar[bool] = True

    type: Literal["rate"] = "rate"
    of: Literal["workflow", "target"] = "workflow"
    limit: int | None = Field(default=None, ge=1, le=1000)
    per: Duration | None = Field(default=None, gt=timedelta(0), le=_LONGEST)
    cool_down: Duration | None = Field(default=None, gt=timedelta(0), le=_LONGEST)

    @model_validator(mode="after")
    def _complete(self) -> RateLimit:
        if (self.limit is None) != (self.per is None):
            raise ValueError("'limit' and 'per' belong together, as in limit: 3, per: 1d")
        if self.limit is None and self.cool_down is None:
            raise ValueError("give 'limit' and 'per', or a 'cool_down'")
        return self

    def describe(self) -> str:
        whose = "of this workflow" if self.of == "workflow" else "on each target"
        words = []
        if self.limit is not None and self.per is not None:
            runs = "run" if self.limit == 1 else "runs"
            words.append(f"At most {self.limit} {runs} {whose} in {spoken(self.per)}")
        if self.cool_down is not None:
            words.append(f"{spoken(self.cool_down)} between runs {whose}")
        return ", and ".join(words)

    async def look(self, world: World, situation: Situation) -> JsonValue:
        seen: list[JsonValue] = []
        for rate in self._rates(situation):
            since = situation.now - timedelta(seconds=rate.per_s)
            others = await world.begun(since, rate.workflow, rate.target)
            seen.append([{"run": one.run_id, "at": one.at.isoformat()} for one in others])
        return seen

    def evaluate(self, situation: Situation) -> GuardrailResult:
        if not isinstance(situation.seen, list):
            return self._not_looked()
        worst: tuple[Instant, str] | None = None
        for rate, seen in zip(self._rates(situation), situation.seen, strict=True):
            full = _full(rate, seen, situation.now)
            if full is not None and (worst is None or full[0] > worst[0]):
                worst = full
        if worst is None:
            return self._result(GuardrailState.MET, "There is room for one more.")
        free, why = worst
        until = free.strftime("%Y-%m-%d %H:%M:%S %Z")
        why = why[0].upper() + why[1:]
        return self._result(GuardrailState.WAITING, f"{why}; the next may begin at {until}.")

    def problems(self, written: Written) -> Iterator[str]:
        yield from super().problems(written)
        if self.of == "target" and not written.targets:
            yield "of: give the workflow 'targets', or count 'of: workflow'."

    def claims(self, situation: Situation) -> Claims:
        return Claims(rates=self._rates(situation))

    def _rates(self, situation: Situation) -> tuple[Rate, ...]:
        limits = []
        if self.limit is not None and self.per is not None:
            limits.append((self.limit, self.per.total_seconds()))
        if self.cool_down is not None:
            limits.append((1, self.cool_down.total_seconds()))
        subjects: list[tuple[str | None, str | None]] = [(situation.workflow, None)]
        if self.of == "target":
            subjects = [(None, target) for target in sorted(set(situation.targets))]
        return tuple(
            Rate(workflow=workflow, target=target, limit=limit, per_s=per_s)
            for workflow, target in subjects
            for limit, per_s in limits
        )


def _full(rate: Rate, seen: JsonValue, now: Instant) -> tuple[Instant, str] | None:
    """When one more may begin, and what is in the way; None where it may now."""
    stretch = timedelta(seconds=rate.per_s)
    begun = [
        (datetime.fromisoformat(str(one["at"])), str(one["run"]))
        for one in (seen if isinstance(seen, list) else [])
        if isinstance(one, Mapping)
    ]
    recent = sorted(pair for pair in begun if pair[0] > now - stretch)
    if len(recent) < rate.limit:
        return None
    at, run = recent[-rate.limit]
    where = "" if rate.target is None else f" on {rate.target}"
    began = f"run {run} began{where} at {at:%Y-%m-%d %H:%M:%S %Z}"
    return at + stretch, began if rate.limit == 1 else f"{len(recent)} runs are within; {began}"
