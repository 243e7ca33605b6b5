"""Guessing what a reply says next from what was said before, to read several tokens in one pass.

A summary quotes its passages, and JSON repeats its names: where the last words stood before, what
followed them there is a good guess (Saxena, "Prompt Lookup Decoding", 2023). A wrong guess costs
rows of one pass, and never changes the reply: each token is chosen by the model as always.
"""

from __future__ import annotations

from collections.abc import Sequence

_SIZES = (3, 2)  # tokens that must stand before in the same order; the longer ones first
_MOST = 7  # with the pending token eight rows, up to which packed weights are fast


class PromptLookup:
    """What followed each few tokens of a conversation when they were last there."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._followed: dict[tuple[int, ...], int] = {}
        self._trust = 3

    def __len__(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Go on by what was read or written."""
        for token in tokens:
            for size in _SIZES:
                self._followed[tuple(self._tokens[-size:])] = len(self._tokens)
            self._tokens.append(token)

    def guess(self, most: int) -> list[int]:
        """Up to `most` tokens that may come next; fewer where guesses were wrong of late."""
        for size in _SIZES:
            start = self._followed.get(tuple(self._tokens[-size:]))
            if start is not None:
                return self._tokens[start : start + min(most, self._trust)]
        return []

    def judge(self, right: int) -> None:
        """Note how many tokens of the last guess were right."""
        self._trust = min(2 * right + 1, _MOST)
