"""Which tokens each slot's cache holds, and which slot a new prompt should take.

A prompt starts where the longest known beginning of it ends: a persona's system prompt, or the
conversation so far, is computed once. What was computed stays in its slot until another prompt
needs the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from core.orchestrator.server.models.decoder import Decoder
from core.orchestrator.server.models.lora import Adapter

_WORTHWHILE = 16  # tokens; fewer are computed anew rather than looked up


@dataclass
class _Slot:
    index: int
    tokens: list[int] = field(default_factory=list)
    adapter: Adapter | None = None  # that these tokens were read with
    busy: bool = False
    used: int = 0  # when it was taken last, in turns


class SlotPool:
    """The slots of one decoder."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._slots = [_Slot(index) for index in range(decoder.slots)]
        self._turn = 0

    @property
    def free(self) -> int:
        """Slots that a prompt can take."""
        return sum(not slot.busy for slot in self._slots)

    def take(
        self, prompt: Sequence[int], *, anew: bool = False, adapter: Adapter | None = None
    ) -> tuple[int, int]:
        """Reserve a slot for a prompt; there must be a free one.

        Args:
            anew: use nothing that is known already.
            adapter: what to read it with; what another one has read is of no use.

        Returns:
            The slot, and how many tokens of the prompt it already holds: always fewer than all,
            since the last one's logits are needed.
        """
        known = {
            slot.index: _common(slot.tokens, prompt) if slot.adapter is adapter else 0
            for slot in self._slots
        }
        source = max(self._slots, key=lambda slot: (known[slot.index], not slot.busy))
        length = known[source.index]
        if anew or length < _WORTHWHILE or not self._decoder.reuses:
            length = 0
        taken = source
        if source.busy or length * 2 < len(source.tokens):
            # Another conversation goes on in the source, or most of it would be lost.
            free = [slot for slot in self._slots if not slot.busy]
            taken = min(free, key=lambda slot: (bool(slot.tokens), slot.used))
        if length and taken is not source:
            self._decoder.copy(source.index, taken.index, length)
        self._turn += 1
        self._decoder.assign(taken.index, adapter)
        taken.adapter = adapter
        taken.tokens, taken.busy, taken.used = list(prompt[:length]), True, self._turn
        return taken.index, length

    def tokens(self, slot: int) -> Sequence[int]:
        """What the decoder has read into the slot."""
        return self._slots[slot].tokens

    def wrote(self, slot: int, tokens: Sequence[int]) -> None:
        """Note that the decoder has read these tokens into the slot, after what it held."""
        self._slots[slot].tokens.extend(tokens)

    def forget(self, slot: int) -> None:
        """Trust nothing that the slot holds: the decoder has failed in the middle of it."""
        self._slots[slot].tokens = []

    def release(self, slot: int) -> None:
        """Free the slot; what it holds may be used by the next prompt."""
        self._slots[slot].busy = False


def _common(held: Sequence[int], prompt: Sequence[int]) -> int:
    """Length of the common beginning, less than the whole prompt."""
    limit = min(len(held), len(prompt) - 1)
    for at in range(limit):
        if held[at] != prompt[at]:
            return at
    return limit
