"""What a constraint allows is chosen as if the rest did not exist."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from core.orchestrator.server.engine.next_tokens import next_tokens
from core.orchestrator.server.engine.sampling import Sampler, sample
from core.orchestrator.server.models.constraint import GrammarError

DRAWS = 4000


class Only:
    """A constraint that allows a set of tokens, always."""

    def __init__(self, allowed: Sequence[int]) -> None:
        self.allowed = set(allowed)

    def allows(self, token: int) -> bool:
        return token in self.allowed

    def forbidden(self) -> torch.Tensor:
        if not self.allowed:
            raise GrammarError("nothing may follow")
        return torch.tensor([token not in self.allowed for token in range(5)])


class Writer:
    """The part of a job that choosing looks at."""

    def __init__(self, sampler: Sampler, allowed: Sequence[int] | None = None) -> None:
        self.sampler = sampler
        self.constraint = None if allowed is None else Only(allowed)


def chosen(writers: Sequence[Any], logits: torch.Tensor) -> list[int | GrammarError]:
    return next_tokens(writers, logits)


def close(counted: Counter[Any], shares: dict[int, float]) -> None:
    """Within four standard deviations."""
    for token, share in shares.items():
        spread = 4 * math.sqrt(DRAWS * share * (1 - share)) + 1
        assert abs(counted[token] - DRAWS * share) <= spread


def test_rows_of_every_kind_are_chosen_together() -> None:
    greedy = Sampler(0.0, 1.0, None)
    logits = torch.tensor([[1.0, 5.0, 3.0, 2.0, 0.0]] * 4)
    writers = [Writer(greedy), Writer(greedy, [0, 2]), Writer(greedy, [1]), Writer(greedy, [])]
    tokens = chosen(writers, logits)
    assert tokens[:3] == [1, 2, 1]
    assert isinstance(tokens[3], GrammarError)


@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_a_constrained_sample_has_the_odds_of_what_is_allowed(top_p: float) -> None:
    shares = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05])
    writer = Writer(Sampler(1.0, top_p, 3), [1, 2, 4])  # 0.6, 0.3, 0.1 of what is allowed
    counted = Counter(chosen([writer], shares.log()[None])[0] for _ in range(DRAWS))
    if top_p == 1.0:
        close(counted, {0: 0.0, 1: 0.6, 2: 0.3, 3: 0.0, 4: 0.1})
    else:
        close(counted, {0: 0.0, 1: 2 / 3, 2: 1 / 3, 3: 0.0, 4: 0.0})


def test_temperature_and_nucleus_are_each_row_s_own() -> None:
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1])
    samplers = [Sampler(2.0, 1.0, 1), Sampler(1.0, 0.5, 2), Sampler(0.0, 0.5, 3)]
    counts: list[Counter[int]] = [Counter() for _ in samplers]
    for _ in range(DRAWS):
        for counted, token in zip(counts, sample(shares.log().repeat(3, 1), samplers), strict=True):
            counted[token] += 1
    roots = shares.sqrt() / shares.sqrt().sum()
    close(counts[0], dict(enumerate(roots.tolist())))
    close(counts[1], {0: 4 / 7, 1: 3 / 7, 2: 0.0, 3: 0.0})
    assert counts[2] == Counter({0: DRAWS})


def test_a_temperature_near_nothing_is_greedy() -> None:
    logits = torch.tensor([[10.0, 9.0, -3.0]])
    assert sample(logits, [Sampler(1e-9, 1.0, 1)]) == [0]
