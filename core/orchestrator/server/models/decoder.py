"""What the engine asks of a chat model: logits for the next token, over slots of cached keys.

A slot holds the key-value cache of one conversation. `prefill` reads many tokens of one slot at
once, `decode` one token of each of many slots: continuous batching is nothing more than calling
`decode` with the rows that are there (Yu et al., "Orca", OSDI 2022).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from core.orchestrator.server.models.lora import Adapter, Layout
from core.orchestrator.wire import Precision

__all__ = ["Decoder", "Precision", "TransformersDecoder"]


class Decoder(ABC):
    """A model over `slots` caches of up to `context_length` tokens each. For one thread.

    Wherever it computes, its logits are on the CPU.

    Positions count from 0. What a slot holds at and after a written position is forgotten.

    Attributes:
        description: for people: what computes, and how exactly.
        reuses: whether a slot can go back to the beginning of what it holds, and be copied.
        layout: of the linear layers that take adapters; None where none can be taken.
        adapters: of each slot. One that is not served any more leaves with its slot's next use.
    """

    layout: Layout | None = None

    def __init__(
        self, slots: int, context_length: int, description: str, *, reuses: bool = True
    ) -> None:
        self.reuses = reuses
        self.slots = slots
        self.context_length = context_length
        self.description = description
        self.adapters: list[Adapter | None] = [None] * slots

    def assign(self, slot: int, adapter: Adapter | None) -> None:
        """Use an adapter, read for this decoder's `layout`, for what the slot reads from now on."""
        self.adapters[slot] = adapter

    @abstractmethod
    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> torch.Tensor:
        """Read `tokens` at positions `start`...; float32 logits after the last: (vocabulary,)."""

    @abstractmethod
    def decode(
        self, slots: Sequence[int], tokens: Sequence[int], positions: Sequence[int]
    ) -> torch.Tensor:
        """Read one token in each of some different slots; float32 logits: (rows, vocabulary)."""

    @abstractmethod
    def score(
        self, slot: int, tokens: Sequence[int], parents: Sequence[int], start: int
    ) -> torch.Tensor:
        """Read a tree of tokens that goes on from position `start`, and forget it again.

        Each token sees what the slot holds before `start` and its own ancestors.

        Args:
            parents: of each token: the index of the one before it, always a smaller one; -1 where
                it is the first after what the slot holds. `start` plus all of them must fit.

        Returns:
            float32 logits after each token: (tokens, vocabulary).
        """

    @abstractmethod
    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` hold the first `length` tokens of `source`."""


class TransformersDecoder(Decoder):
    """Any causal model of transformers, a row at a time: slower, and right for all of them."""

    def __init__(self, model: Any, slots: int) -> None:
        kind = f"{model.config.model_type} by transformers, {model.dtype} on {model.device}"
        # Sliding windows and recurrent states have forgotten the beginning.
        plain = all(
            type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers
        )
        super().__init__(slots, int(model.config.max_position_embeddings), kind, reuses=plain)
        self._model = model
        self._caches = [self._empty() for _ in range(slots)]

    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> torch.Tensor:
        """Read `tokens` at positions `start`...; logits after the last."""
        cache = self._caches[slot]
        if start == 0:
            cache = self._caches[slot] = self._empty()
        else:
            _shorten(cache, start)
        output = self._model(
            input_ids=self._input(tokens),
            cache=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[0, -1].float().cpu()
        return logits

    def decode(
        self, slots: Sequence[int], tokens: Sequence[int], positions: Sequence[int]
    ) -> torch.Tensor:
        """Read one token in each of some different slots."""
        rows = zip(slots, tokens, positions, strict=True)
        return torch.stack([self.prefill(slot, [token], at) for slot, token, at in rows])

    def score(
        self, slot: int, tokens: Sequence[int], parents: Sequence[int], start: int
    ) -> torch.Tensor:
        """Read a tree of tokens, a branch after the other; logits after each."""
        held = self._caches[slot]
        _shorten(held, start)
        rows: dict[int, torch.Tensor] = {}
        for branch in _branches(parents):
            output = self._model(
                input_ids=self._input([tokens[index] for index in branch]),
                cache=held if self.reuses else copy.deepcopy(held),
                use_cache=True,
            )
            rows.update(zip(branch, output.logits[0].float().cpu(), strict=True))
            _shorten(held, start)
        return torch.stack([rows[index] for index in range(len(tokens))])

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` hold the first `length` tokens of `source`."""
        copied = copy.deepcopy(self._caches[source])
        _shorten(copied, length)
        self._caches[target] = copied

    def _input(self, tokens: Sequence[int]) -> torch.Tensor:
        return torch.tensor([list(tokens)], device=self._model.device)

    def _empty(self) -> DynamicCache:
        return DynamicCache(config=self._model.config)


def _shorten(cache: DynamicCache, length: int) -> None:
    surplus = cache.get_seq_length() - length
    if surplus > 0:
        cache.crop(-surplus)


def tree_shape(parents: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a tree as `Decoder.score` takes it: depths, and who is whose ancestor or the same.

    Returns:
        int64 (tokens,), 0 for a first token, and bool (tokens, tokens): row sees column.
    """
    seen = torch.eye(len(parents), dtype=torch.bool)
    for index, parent in enumerate(parents):
        if parent >= 0:
            seen[index] |= seen[parent]
    return seen.sum(1) - 1, seen


def _branches(parents: Sequence[int]) -> list[list[int]]:
    """The ways from a first token to a last one."""
    branches = []
    for leaf in sorted(set(range(len(parents))) - set(parents)):
        branch = [leaf]
        while parents[branch[-1]] >= 0:
            branch.append(parents[branch[-1]])
        branches.append(branch[::-1])
    return branches
