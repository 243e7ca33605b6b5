"""Choose the next token of each reply from its logits, those of all replies at once."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch


class Sampler:
    """How one reply chooses: greedily at temperature 0, else by nucleus sampling.

    Args:
        temperature: 0 is greedy.
        top_p: the smallest set of tokens whose probabilities reach this is sampled from.
        seed: makes the choice repeatable.
    """

    def __init__(self, temperature: float, top_p: float, seed: int | None) -> None:
        # A temperature near 0 would overflow: the greedy choice is its limit.
        self.temperature = max(temperature, 1e-4) if temperature else 0.0
        self.top_p = top_p
        self._random = random.Random(seed)  # noqa: S311 - nothing secret

    @property
    def cuts(self) -> bool:
        """Whether improbable tokens are left out, so that one depends on the others."""
        return self.temperature > 0 and self.top_p < 1

    def draw(self) -> float:
        """A number from 0 up to 1 that decides the next choice."""
        return self._random.random()


def sample(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """Choose a token for each row.

    Args:
        logits: float32, (rows, vocabulary); minus infinity is never chosen.
        samplers: of each row.
    """
    chosen: list[int] = logits.argmax(-1).tolist()
    warm = [row for row, sampler in enumerate(samplers) if sampler.temperature > 0]
    if warm:
        drawn = _drawn(logits[warm], [samplers[row] for row in warm])
        for row, token in zip(warm, drawn, strict=True):
            chosen[row] = token
    return chosen


def _drawn(logits: torch.Tensor, samplers: Sequence[Sampler]) -> list[int]:
    heat = _column([sampler.temperature for sampler in samplers])
    shares = ((logits - logits.amax(-1, keepdim=True)) / heat).softmax(-1)
    cutting = [row for row, sampler in enumerate(samplers) if sampler.cuts]
    if cutting:
        limits = _column([samplers[row].top_p for row in cutting])
        ordered, order = shares[cutting].sort(descending=True)
        ordered.masked_fill_(ordered.cumsum(-1) - ordered > limits, 0.0)
        shares[cutting] = torch.zeros_like(ordered).scatter_(1, order, ordered)
    sums = shares.cumsum(-1)
    whole = sums[:, -1:]
    points = _column([sampler.draw() for sampler in samplers]) * whole
    # Below the whole sum, whatever was rounded: the token found has a share of its own.
    below = torch.nextafter(whole, torch.zeros_like(whole))
    found: list[int] = torch.searchsorted(sums, points.minimum(below), right=True)[:, 0].tolist()
    return found


def _column(values: Sequence[float]) -> torch.Tensor:
    # Not of torch's default type: transformers changes that for all threads while it loads a model.
    return torch.tensor(values, dtype=torch.float32)[:, None]
