"""Preview: the dry run succeeds, and it says what the signers were shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import ndiff
from typing import Literal

from pydantic import JsonValue

from core.errors import NotFoundError
from core.workflows.actions import Action
from core.workflows.guardrails.base import (
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Situation,
    World,
    Written,
)

_LONGEST_LINE = 160


class Preview(Guardrail):
    """Every dry run that the plan shows succeeds when it is done anew.

    Attributes:
        unchanged: and says word for word what it said when the plan was made.
    """

    type: Literal["preview"] = "preview"
    unchanged: bool = False

    def describe(self) -> str:
        return "The dry run succeeds" + (", and says what the card shows" if self.unchanged else "")

    async def look(self, world: World, situation: Situation) -> JsonValue:  # noqa: ARG002
        return [run.model_dump(mode="json") for run in await world.dry_run()]

    def evaluate(self, situation: Situation) -> GuardrailResult:
        if not isinstance(situation.seen, list):
            return self._not_looked()
        runs = [run for run in situation.seen if isinstance(run, Mapping)]
        if not runs:
            return self._result(GuardrailState.BLOCKED, "No step of this plan has a dry run.")
        for run in runs:
            if run["problem"]:
                return self._result(
                    GuardrailState.BLOCKED, f"The dry run of '{run['step']}': {run['problem']}"
                )
            if self.unchanged and run["output"] != run["shown"]:
                change = _first_change(str(run["shown"]), str(run["output"]))
                return self._result(
                    GuardrailState.BLOCKED,
                    f"The dry run of '{run['step']}' now says something else: {change}",
                )
        steps = "1 step" if len(runs) == 1 else f"{len(runs)} steps"
        same = ", as shown" if self.unchanged else ""
        return self._result(GuardrailState.MET, f"It succeeded for {steps}{same}.")

    def problems(self, written: Written) -> Iterator[str]:
        yield from super().problems(written)
        if not any(_has_preview(written, name) for name in written.calls):
            yield "type: none of the steps' actions has a dry run; remove this guardrail."


def _has_preview(written: Written, name: str) -> bool:
    try:
        action = written.actions.get(name)
    except NotFoundError:
        return True  # said elsewhere
    return type(action).preview is not Action.preview


def _first_change(before: str, after: str) -> str:
    """The first line that went and the first that came."""
    changes = list(ndiff(before.splitlines()[:500], after.splitlines()[:500]))
    gone = next((line[2:] for line in changes if line.startswith("- ")), "")
    come = next((line[2:] for line in changes if line.startswith("+ ")), "")
    return f"“{come[:_LONGEST_LINE]}” in place of “{gone[:_LONGEST_LINE]}”."
