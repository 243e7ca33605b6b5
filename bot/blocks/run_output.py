"""What steps have printed: the short of it on the card, the long of it in a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bot.blocks.layout import excerpt
from bot.blocks.run_outline import title
from core.workflows.run import Run, RunState

_SHOWN = 1_000
_LINES = 12
_LEAST = 200
_SHOWN_IN_ALL = 4_000
_TOLD = frozenset({RunState.ATTENTION, RunState.FAILED, RunState.SUCCEEDED, RunState.CANCELLED})


@dataclass(frozen=True)
class Outputs:
    """What the steps of a run have printed.

    Attributes:
        shown: on the card, by the steps' ids.
        file: all of it, where the card has not room for it and the run has ended; else empty.
        name: of that file; one with another content has another name.
    """

    shown: dict[str, str]
    file: str
    name: str


def outputs(run: Run) -> Outputs:
    """Of a run that has come to an end, or waits for a person."""
    if run.state not in _TOLD:
        return Outputs({}, "", "")
    shown: dict[str, str] = {}
    whole, left = [], _SHOWN_IN_ALL
    long = False
    steps = {step.id: step for step in run.plan.steps}
    for progress in run.steps:
        if not progress.output.strip():
            continue
        name = title(steps[progress.step_id]) if progress.step_id in steps else progress.step_id
        whole.append(f"== {name} ({progress.step_id}), {progress.state}\n\n{progress.output}\n")
        room = min(_SHOWN, left)
        short = excerpt(progress.output, room, _LINES) if room >= _LEAST else ""
        long = long or short != progress.output.rstrip("\n")
        if short:
            shown[progress.step_id] = short
        left -= len(short)
    if not long or not run.state.final:
        return Outputs(shown, "", "")
    file = "\n".join(whole)
    mark = hashlib.sha256(file.encode()).hexdigest()[:6]
    return Outputs(shown, file, f"run-{run.id}-{mark}.txt")
