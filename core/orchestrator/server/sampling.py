"""Choose the next token from logits."""

from __future__ import annotations

import torch


class Sampler:
    """Greedy at temperature 0, else nucleus sampling.

    Args:
        temperature: 0 is greedy.
        top_p: the smallest set of tokens whose probabilities reach this is sampled from.
        seed: makes the choice repeatable.
    """

    def __init__(self, temperature: float, top_p: float, seed: int | None) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def choose(self, logits: torch.Tensor, forbidden: torch.Tensor | None) -> int:
        """Choose a token.

        Args:
            logits: float32, shape (vocabulary,); may be overwritten.
            forbidden: bool, shape (vocabulary,): tokens that must not be chosen.
        """
        if forbidden is not None:
            logits.masked_fill_(forbidden, float("-inf"))
        if self._temperature == 0.0:
            return int(logits.argmax())
        # A temperature near 0 would overflow: the greedy choice is its limit.
        probabilities = torch.softmax((logits - logits.max()) / max(self._temperature, 1e-4), 0)
        if self._top_p < 1.0:
            ordered, order = probabilities.sort(descending=True)
            outside = ordered.cumsum(0) - ordered > self._top_p
            probabilities[order[outside]] = 0.0
        return int(torch.multinomial(probabilities, 1, generator=self._generator))
