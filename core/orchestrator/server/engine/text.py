"""From token ids to text, piece by piece: whole characters only, and never past a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_REPLACEMENT = "\ufffd"


class IncrementalDecoder:
    """Decodes a growing list of token ids.

    A character of several bytes may be spread over several tokens, and some tokenizers join
    words by what came before. So each piece is the difference between two decodings that start
    a few tokens earlier, and an unfinished character waits for its rest.

    Args:
        decode: token ids to text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._context = 0  # start of the tokens that give the next piece its context
        self._done = 0  # tokens whose text was handed out

    def push(self, token: int) -> str:
        """Add one token; return the text that is certain now, maybe none."""
        self._tokens.append(token)
        piece = self._pending()
        if piece.endswith(_REPLACEMENT):
            return ""
        return self._take(piece)

    def flush(self) -> str:
        """Return what is left; an unfinished character becomes U+FFFD."""
        return self._take(self._pending())

    def _pending(self) -> str:
        before = self._decode(self._tokens[self._context : self._done])
        return self._decode(self._tokens[self._context :])[len(before) :]

    def _take(self, piece: str) -> str:
        if piece:
            self._context, self._done = self._done, len(self._tokens)
        return piece


class StopScanner:
    """Holds back text that may be the start of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, piece: str) -> tuple[str, bool]:
        """Add text; return what may be shown, and whether a stop string was met."""
        text = self._held + piece
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        keep = max((overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def flush(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return held


def overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a proper start of `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
