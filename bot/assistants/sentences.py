"""Cut a growing text into sentences, so that each can be checked before anybody sees it."""

from __future__ import annotations

import re

MAX_SENTENCE = 600

# A full stop ends a sentence only before white space; these never do.
_END = re.compile(r"(?:[.!?…]+[\"')\]]*(?=\s))|\n")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|no)|\b[A-Za-z]|^\s*\d{1,2})\.$", re.IGNORECASE
)
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")


class SentenceBuffer:
    """Takes pieces of text and gives whole sentences, without marks of lists."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, piece: str) -> list[str]:
        """Return the sentences that are complete now."""
        self._text += piece
        found: list[str] = []
        start = position = 0
        while match := _END.search(self._text, position):
            position = match.end()
            sentence = self._text[start:position]
            if sentence.count("`") % 2 and match[0] != "\n":
                continue  # inside of code
            if _ABBREVIATION.search(sentence):
                continue
            found.append(sentence)
            start = position
        self._text = self._text[start:]
        if len(self._text) > MAX_SENTENCE:
            found.append(self._text)
            self._text = ""
        return [cleaned for sentence in found if (cleaned := _clean(sentence))]

    def rest(self) -> str:
        """What is left at the end; it was cut off if it does not end as a sentence does."""
        text, self._text = self._text, ""
        return _clean(text)


def is_whole(sentence: str) -> bool:
    """Whether it begins and ends as a sentence does."""
    begins = sentence[:1].isupper() or sentence[:1].isdigit() or sentence[:1] in "`\"'("
    return bool(sentence) and begins and sentence.rstrip("\"')]* ").endswith((".", "!", "?"))


def _clean(sentence: str) -> str:
    return " ".join(_LIST_MARK.sub("", sentence).split())
