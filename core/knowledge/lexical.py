"""Words of a text, and BM25 over them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN_PLUS
from numpy.typing import NDArray
from snowballstemmer import stemmer  # type: ignore[import-untyped]

Scores = NDArray[np.float32]

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STOPWORDS = frozenset(STOPWORDS_EN_PLUS)
MAX_WORD_CHARS = 60


def words(text: str) -> list[str]:
    """List the stems of a text; names such as `KubePodCrashLooping` give their parts as well."""
    return [
        _stem(word)
        for word in _split(text)
        if word not in _STOPWORDS and 1 < len(word) <= MAX_WORD_CHARS
    ]


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    # A stemmer keeps the word that it is at, so threads must not share one.
    stem: str = stemmer("english").stemWord(word)
    return stem


def _split(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        word = match.group()
        lowered = word.lower()
        yield lowered
        if word != lowered or "_" in word:
            parts = [part.group().lower() for part in _PART.finditer(word)]
            if parts != [lowered]:
                yield from parts


class LexicalIndex:
    """BM25 over the words of texts, by position in the sequence that it was made of."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self._count = len(texts)
        positions: dict[str, list[int]] = {}
        for position, each in enumerate(texts):
            for word in set(each):
                positions.setdefault(word, []).append(position)
        self._postings = {word: np.array(found) for word, found in positions.items()}
        self._bm25: bm25s.BM25 | None = None
        if self._postings:  # bm25s cannot index a corpus without a single word
            self._bm25 = bm25s.BM25(method="lucene")
            self._bm25.index([list(each) for each in texts], show_progress=False)

    def scores(self, query: Sequence[str]) -> Scores:
        """Score every text for the words of a query; 0 where they share none."""
        known = [word for word in query if word in self._postings]
        if self._bm25 is None or not known:
            return np.zeros(self._count, dtype=np.float32)
        scores: Scores = self._bm25.get_scores(known)
        return scores

    def coverage(self, query: Sequence[str]) -> Scores:
        """Say for every text how much of a query it has, 0 to 1: rare words weigh more."""
        covered = np.zeros(self._count, dtype=np.float32)
        total = 0.0
        for word in dict.fromkeys(query):
            found = self._postings.get(word)
            frequency = 0 if found is None else len(found)
            weight = math.log(1 + (self._count - frequency + 0.5) / (frequency + 0.5))
            total += weight
            if found is not None:
                covered[found] += weight
        return covered / np.float32(total) if total else covered
