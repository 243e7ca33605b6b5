"""What the index knows at one moment, and how it ranks: BM25 and embeddings, fused.

Reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009. A passage counts only if it is
relevant enough; what "enough" is was measured on the questions in the tests marked `calibration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.knowledge.chunking import Chunk, chunk_document
from core.knowledge.lexical import LexicalIndex, Scores, words
from core.knowledge.pieces import pieces
from core.knowledge.probes import PROBES
from core.knowledge.reading import Document
from core.knowledge.vectors import Vector, digest

RRF_K = 60
# With embeddings: standard deviations of the similarity above that of the probes, plus 3 for a
# passage that has all of the question's words. Of the calibration questions, the off-topic ones
# reach at most 3.2, those on topic at least 4.2.
MIN_RELEVANCE = 3.7
COVERAGE_WEIGHT = 3.0
# A wrong runbook under an alert is worse than none. Of 26 names of alerts that the starter does not
# list, this keeps all 12 that have a runbook and drops 11 of the 14 that have none.
MIN_ALERT_RELEVANCE = 6.2
# Without embeddings: this share of the question's words, or this many times the best BM25 score of
# a probe. Stricter than it would need to be for recall, because words alone mislead.
MIN_COVERAGE = 0.5
MIN_SCORE_OVER_PROBES = 1.25


class Entry(NamedTuple):
    """A chunk with its document, its words for BM25, and its pieces for the embedding model."""

    document: Document
    chunk: Chunk
    terms: tuple[str, ...]
    pieces: tuple[Piece, ...]


class Piece(NamedTuple):
    """A text for the embedding model, and the key of its vector."""

    key: str
    text: str


def prepare(document: Document) -> tuple[Entry, ...]:
    """Make the entries of a document, once for each version of it. Raises `ReadingError`."""
    return tuple(_entry(document, chunk) for chunk in chunk_document(document))


def _entry(document: Document, chunk: Chunk) -> Entry:
    headings = chunk.heading_path
    if headings[:1] != (document.title,):
        headings = (document.title, *headings)
    texts = [f"{document.title}: {piece}" for piece in pieces(chunk.text)]
    return Entry(
        document,
        chunk,
        terms=tuple(words(f"{' '.join(headings)}\n{chunk.text}")),
        pieces=tuple(Piece(digest(text), text) for text in texts),
    )


class Ranked(NamedTuple):
    """An entry and its fused score: 1 where it is the first by words and by meaning."""

    entry: Entry
    score: float


class Vectors(NamedTuple):
    """Rows of unit length.

    `pieces` has those of all entries' pieces, one entry after the other, `starts` the row
    at which each entry begins, `probes` the vectors of `PROBES`.
    """

    pieces: Scores
    starts: NDArray[np.intp]
    probes: Scores

    def nearest(self, vector: Vector) -> Scores:
        """Give the similarity of each entry's nearest piece."""
        nearest: Scores = np.maximum.reduceat(self.pieces @ vector, self.starts)
        return nearest


class Ranking:
    """An immutable index of entries. CPU-bound and blocking, so large ones belong into a thread.

    Without vectors, by words only.
    """

    def __init__(self, entries: Sequence[Entry], vectors: Vectors | None = None) -> None:
        self.entries = tuple(entries)
        self._lexical = LexicalIndex([entry.terms for entry in entries])
        # A document's own score helps each of its passages: they say in other words what it says.
        documents: dict[str, list[str]] = {}
        for entry in entries:
            documents.setdefault(entry.document.path, []).extend(entry.terms)
        positions = {path: position for position, path in enumerate(documents)}
        self._document_of = np.array([positions[e.document.path] for e in entries], dtype=np.intp)
        self._documents = LexicalIndex(list(documents.values()))
        self._vectors = vectors if entries else None
        self._noise, self._deviation = 0.0, 1.0
        if self._vectors is not None:
            nearest = (self._vectors.probes @ self._vectors.pieces.T).max(axis=1)
            self._noise = float(nearest.mean())
            self._deviation = max(float(nearest.std()), 1e-3)
        self._probe_score = max(
            float(self._lexical.scores(words(probe)).max(initial=0.0)) for probe in PROBES
        )

    @property
    def dimension(self) -> int:
        """Length of the vectors; 0 where questions can be compared by words only."""
        return 0 if self._vectors is None else self._vectors.pieces.shape[1]

    def rank(
        self,
        query: str,
        vector: Vector | None,
        limit: int,
        min_relevance: float = MIN_RELEVANCE,
    ) -> list[Ranked]:
        """Give the relevant entries, best first; by words only where there is no vector."""
        if not self.entries:
            return []
        terms = words(query)
        lexical = self._lexical.scores(terms)
        coverage = self._lexical.coverage(terms)
        fused = _reciprocal_ranks(lexical)
        fused += _reciprocal_ranks(self._documents.scores(terms))[self._document_of]
        best = 2 / (RRF_K + 1)
        if vector is None or self._vectors is None:
            relevant = coverage >= MIN_COVERAGE
            if self._probe_score:
                relevant |= lexical >= MIN_SCORE_OVER_PROBES * self._probe_score
        else:
            similarity = self._vectors.nearest(vector)
            fused += _reciprocal_ranks(similarity)
            best = 3 / (RRF_K + 1)
            above_noise = (similarity - self._noise) / self._deviation
            relevant = above_noise + COVERAGE_WEIGHT * coverage >= min_relevance
        order = np.argsort(-fused, kind="stable")
        return [
            Ranked(self.entries[position], float(fused[position]) / best)
            for position in order[relevant[order]][:limit]
        ]


def _reciprocal_ranks(scores: Scores) -> Scores:
    """Give 1 / (k + rank); nothing to those that have no score."""
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(len(scores), dtype=np.float32)
    ranks[order] = np.arange(1, len(scores) + 1)
    fused: Scores = np.where(scores > 0, 1 / (RRF_K + ranks), 0.0).astype(np.float32)
    return fused
