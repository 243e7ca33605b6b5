"""What an assistant remembers of a thread: its latest turns, within a budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from core.services.ai import ChatMessage

TURNS = 8
CHARACTERS = 1600
"""Of all turns together: about 400 tokens, so that a CPU reads them in half a second."""

_TURN_CHARACTERS = 600


class Utterance(NamedTuple):
    """A message of a thread; `by` says whether a person or one of our assistants wrote it."""

    by: Literal["person", "assistant"]
    text: str


def conversation(utterances: Iterable[Utterance]) -> tuple[ChatMessage, ...]:
    """Turn a thread, oldest first, into turns that alternate and begin with a person's.

    Messages in a row by the same side become one turn: chat templates refuse anything else.
    """
    turns: list[ChatMessage] = []
    for by, text in utterances:
        role: Literal["user", "assistant"] = "user" if by == "person" else "assistant"
        if not text.strip() or (not turns and role == "assistant"):
            continue
        if turns and turns[-1].role == role:
            joined = f"{turns[-1].content}\n{text.strip()}"
            turns[-1] = ChatMessage(role=role, content=joined)
        else:
            turns.append(ChatMessage(role=role, content=text.strip()))
    return tuple(turns)


def within_budget(
    history: Sequence[ChatMessage], characters: int = CHARACTERS, turns: int = TURNS
) -> tuple[ChatMessage, ...]:
    """Keep the latest turns that fit, as pairs: a question is never kept without its answer.

    Long turns are shortened in the middle first. Anything but `user` and `assistant` is dropped:
    nobody in a thread speaks as the system.
    """
    spoken = conversation(
        Utterance("person" if turn.role == "user" else "assistant", turn.content)
        for turn in history
        if turn.role != "system"
    )
    if spoken and spoken[-1].role == "user":
        spoken = spoken[:-1]  # unanswered: the new question would be a second turn in a row
    kept: list[ChatMessage] = []
    for position in range(len(spoken) - 2, -1, -2):
        pair = [_shortened(turn) for turn in spoken[position : position + 2]]
        characters -= sum(len(turn.content) for turn in pair)
        if characters < 0 or len(kept) + 2 > turns:
            break
        kept[:0] = pair
    return tuple(kept)


def last_question(history: Sequence[ChatMessage]) -> str | None:
    """What the person asked before; a follow-up such as "and how do I check that?" needs it."""
    return next((turn.content for turn in reversed(history) if turn.role == "user"), None)


def _shortened(turn: ChatMessage) -> ChatMessage:
    if len(turn.content) <= _TURN_CHARACTERS:
        return turn
    half = _TURN_CHARACTERS // 2 - 2
    return turn.model_copy(update={"content": f"{turn.content[:half]} … {turn.content[-half:]}"})
