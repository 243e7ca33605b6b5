"""The next token of each reply: chosen for all at once, and only what constraints allow.

A token is chosen first as if nothing were forbidden, and kept where the constraint allows it:
asking for one token costs a fiftieth of asking for all that are allowed, and a model that writes
JSON writes mostly what it may. Where it is refused, another is chosen among those that are allowed.
The greedy choice is the same as if that had been done at once, and so are a sampled token's odds:
with A the sum of what is allowed, p + (1 - A) * p / A = p / A.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.orchestrator.server.engine.jobs import ChatJob
from core.orchestrator.server.engine.sampling import sample
from core.orchestrator.server.models.constraint import GrammarError


def next_tokens(jobs: Sequence[ChatJob], logits: torch.Tensor) -> list[int | GrammarError]:
    """The token that each job writes next, or why its constraint allows none.

    Args:
        logits: float32, (jobs, vocabulary).
    """
    samplers = [job.sampler for job in jobs]
    chosen: list[int | GrammarError] = [*sample(logits, samplers)]
    forbidden: dict[int, torch.Tensor] = {}
    for row, job in enumerate(jobs):
        try:
            mask = _forbidden(job, chosen[row])
        except GrammarError as error:
            chosen[row] = error
        else:
            if mask is not None:
                forbidden[row] = mask
    if forbidden:
        rows = list(forbidden)
        left = logits[rows].masked_fill_(torch.stack(list(forbidden.values())), float("-inf"))
        again = sample(left, [samplers[row] for row in rows])
        for row, token in zip(rows, again, strict=True):
            chosen[row] = token
    return chosen


def _forbidden(job: ChatJob, token: int | GrammarError) -> torch.Tensor | None:
    """Tokens that the job may not write, where `token` is among them or a cut depends on it."""
    constraint = job.constraint
    if constraint is None or isinstance(token, GrammarError):
        return None
    if not job.sampler.cuts and constraint.allows(token):
        return None
    return constraint.forbidden()
