"""Who is called when a run waits for a person's word: to do a step, or to say how one stands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bot.blocks.layout import cut
from bot.blocks.run_buttons import waiting_steps
from bot.blocks.run_outline import title
from core.records import Frozen
from core.security.policy import Policy, Right
from core.workflows.plan import PlannedStep
from core.workflows.run import Run, StepState


class Asking(Frozen):
    """One call in a run's thread; the same question has the same key."""

    key: str
    groups: tuple[str, ...]
    users: tuple[str, ...]
    text: str


def askings(run: Run, policy: Policy) -> Iterator[Asking]:
    """The calls that a run as it is now makes necessary."""
    if run.state.final:
        return
    own = run.approval.roles if run.approval else ()
    deciding = own or policy.roles_with(Right.ADMINISTER, run.plan.workflow)
    for step in waiting_steps(run):
        words = f"{title(step)}: {cut(step.description, 600)} When it is done, say so with the "
        words += "button on the card, or reply: confirm"
        yield _asking(run, policy, step, step.roles or deciding, words)
    cut_off = {step.step_id for step in run.steps if step.state is StepState.UNKNOWN}
    for step in run.plan.steps:
        if step.id in cut_off:
            words = f"{title(step)} was cut off, and nobody knows whether it was done. Look, and "
            words += "say so with the buttons on the card."
            yield _asking(run, policy, step, deciding, words)


def _asking(
    run: Run, policy: Policy, step: PlannedStep, roles: tuple[str, ...], words: str
) -> Asking:
    attempts = next((p.attempts for p in run.steps if p.step_id == step.id), 0)
    mark = hashlib.sha256(f"{step.id}/{attempts}".encode()).hexdigest()[:12]
    held = [policy.roles[role] for role in roles if role in policy.roles]
    return Asking(
        key=f"asks:{run.id}:{mark}",
        groups=tuple(dict.fromkeys(group for role in held for group in role.groups)),
        users=tuple(dict.fromkeys(user for role in held for user in role.users)),
        text=words,
    )
