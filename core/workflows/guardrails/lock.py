"""Lock: one run at a time, on each target or under a name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import Field, JsonValue

from core.workflows.guardrails.base import (
    PLAIN,
    Claims,
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Situation,
    World,
    Written,
    filled,
    type_problems,
)

_LONGEST = 120


class Lock(Guardrail):
    """No other run holds the same lock; this one holds it from its begin to its end.

    A lock is shared by all workflows that name it. All of a plan's locks are taken at once or
    none, so that two runs never wait for one another.

    Attributes:
        name: of the lock; left out, there is one for each of the plan's targets.
    """

    type: Literal["lock"] = "lock"
    name: str | None = Field(default=None, min_length=1, max_length=200)

    def describe(self) -> str:
        if self.name is None:
            return "One run at a time on each target"
        return f"One run at a time under the name {self.name}"

    async def look(self, world: World, situation: Situation) -> JsonValue:
        return {name: await world.lock_holder(name) for name in self._locks(situation)}

    def evaluate(self, situation: Situation) -> GuardrailResult:
        holders = situation.seen
        if not isinstance(holders, Mapping):
            return self._not_looked()
        held = {lock: holder for lock, holder in holders.items() if holder is not None}
        if not held:
            return self._result(GuardrailState.MET, "Nobody else is at work there.")
        words = [f"{lock.partition(':')[2]} by run {holder}" for lock, holder in held.items()]
        return self._result(GuardrailState.WAITING, f"Held: {', '.join(words)}.")

    def rendered(self, scope: Mapping[str, JsonValue]) -> Self:
        if self.name is None:
            return self
        return self.model_copy(update={"name": filled(self.name, scope)})

    def problems(self, written: Written) -> Iterator[str]:
        yield from super().problems(written)
        if self.name is None and not written.targets:
            yield "name: give the lock a name, or the workflow 'targets'."
        for problem in type_problems(self.name or "", written, PLAIN):
            yield f"name: {problem}"

    def claims(self, situation: Situation) -> Claims:
        return Claims(locks=self._locks(situation))

    def _locks(self, situation: Situation) -> tuple[str, ...]:
        if self.name is not None:
            return (_lock("name", self.name),)
        # Sorted, so that two runs that take several rows at once take them in the same order.
        return tuple(sorted({_lock("target", target) for target in situation.targets}))


def _lock(kind: str, name: str) -> str:
    """A lock's name as it is stored: a short one as it is, a long one with its digest."""
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}…{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    return f"{kind}:{name}"
