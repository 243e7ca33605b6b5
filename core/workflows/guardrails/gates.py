"""Gates: a dataset or a model has passed what was recorded about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import ClassVar, Literal, Self

from pydantic import Field, JsonValue

from core.workflows.definition import Duration, spoken
from core.workflows.guardrails.base import (
    PLAIN,
    Gate,
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Situation,
    World,
    Written,
    filled,
    type_problems,
)


class RecordedGate(Guardrail):
    """The newest recorded result of a gate is that `subject` passed, and it is young enough.

    Attributes:
        kind: under which the results are recorded.
        subject: such as a dataset's id, or a model's digest.
        max_age: of the result; without it, a result holds until its own expiry, or for good.
    """

    kind: ClassVar[Literal["dataset", "evaluation"]]

    subject: str = Field(min_length=1, max_length=300)
    max_age: Duration | None = Field(default=None, gt=timedelta(0))

    def describe(self) -> str:
        age = "" if self.max_age is None else f", not longer ago than {spoken(self.max_age)}"
        return f"{self.subject} has passed its {self.kind} gate{age}"

    async def look(self, world: World, situation: Situation) -> JsonValue:  # noqa: ARG002
        gate = await world.gate(self.kind, self.subject)
        return {"gate": None if gate is None else gate.model_dump(mode="json")}

    def evaluate(self, situation: Situation) -> GuardrailResult:
        if not isinstance(situation.seen, Mapping):
            return self._not_looked()
        if situation.seen["gate"] is None:
            return self._result(
                GuardrailState.BLOCKED,
                "No result is recorded: countersign gates record.",
            )
        gate = Gate.model_validate(situation.seen["gate"])
        at = f"{gate.at:%Y-%m-%d %H:%M %Z}"
        if not gate.passed:
            return self._result(GuardrailState.BLOCKED, f"It failed at {at}: {gate.evidence}")
        if gate.expires_at is not None and situation.now >= gate.expires_at:
            return self._result(
                GuardrailState.BLOCKED, f"The result of {at} held until {gate.expires_at}."
            )
        if self.max_age is not None and situation.now > gate.at + self.max_age:
            return self._result(GuardrailState.BLOCKED, f"The result of {at} is too old.")
        return self._result(GuardrailState.MET, f"It passed at {at}: {gate.evidence}")

    def rendered(self, scope: Mapping[str, JsonValue]) -> Self:
        return self.model_copy(update={"subject": filled(self.subject, scope)})

    def problems(self, written: Written) -> Iterator[str]:
        yield from super().problems(written)
        for problem in type_problems(self.subject, written, PLAIN):
            yield f"subject: {problem}"


class DatasetGate(RecordedGate):
    """A dataset has passed its gate, for what learns from it."""

    kind: ClassVar[Literal["dataset", "evaluation"]] = "dataset"
    type: Literal["dataset_gate"] = "dataset_gate"


class EvaluationGate(RecordedGate):
    """A model has passed its evaluation, for what puts it to use."""

    kind: ClassVar[Literal["dataset", "evaluation"]] = "evaluation"
    type: Literal["evaluation_gate"] = "evaluation_gate"
