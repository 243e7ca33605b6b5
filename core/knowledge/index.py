"""The knowledge base: folders of runbooks that can be searched, and that follow their files."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.knowledge.probes import PROBES
from core.knowledge.ranking import (
    MIN_ALERT_RELEVANCE,
    MIN_RELEVANCE,
    Entry,
    Ranked,
    Ranking,
    Vectors,
    prepare,
)
from core.knowledge.reading import Document, ReadFile, ReadingError, read_folders
from core.knowledge.vectors import (
    CANARY,
    Embed,
    EmbeddingCache,
    Vector,
    digest,
    embed_checked,
    matrix,
    same_model,
)
from core.services.ai import OrchestratorError

logger = logging.getLogger(__name__)

MAX_QUERY_CHARS = 2000
# Ranking fewer passages than this takes well under a millisecond: not worth a thread.
INLINE_PASSAGES = 1000

_NAME_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\-]+")


class Passage(BaseModel):
    """A part of a document that answers a question.

    Attributes:
        document: path of the document in its folder.
        heading_path: headings from the outermost to the passage's own.
        anchor: of the section, empty for text before the first heading.
        text: Markdown, without the heading.
        start_line, end_line: lines of the file, counted from 1, both included.
        link: where a person reads it.
        score: 0 to 1; 1 is first by words and by meaning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: str
    title: str
    heading_path: tuple[str, ...]
    anchor: str
    text: str
    start_line: int
    end_line: int
    link: str
    score: float


class IndexReport(BaseModel):
    """What a refresh found.

    Attributes:
        added, changed, removed: paths of documents.
        embedded: pieces of passages that had to be embedded anew.
        searches_by_meaning: False where embeddings were not available.
        problems: one sentence for each file or folder that was left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: int
    passages: int
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    embedded: int = 0
    searches_by_meaning: bool
    problems: tuple[str, ...] = ()
    seconds: float


class _Read(NamedTuple):
    documents: dict[str, Document]
    entries: dict[str, tuple[Entry, ...]]
    problems: tuple[str, ...]


_NOTHING = _Read({}, {}, ())


class KnowledgeBase:
    """Documents from folders, searched by words and by meaning.

    Args:
        folders: of Markdown files; a path that occurs in two of them is taken from the first.
        link_base: address before `/{document}#{anchor}`.
        embed: gives a vector for each text, and raises `OrchestratorError` where it cannot.
        embed_later: the same for the runbooks, which nobody waits for; None means `embed`.
        cache: SQLite file for embeddings, one for each knowledge base; None keeps none.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        link_base: str,
        embed: Embed,
        cache: Path | None = None,
        embed_later: Embed | None = None,
    ) -> None:
        self._folders = tuple(folders)
        self._link_base = link_base.rstrip("/")
        self._embed = embed
        self._embed_later = embed_later or embed
        self._cache = EmbeddingCache(cache) if cache else None
        self._refreshing = asyncio.Lock()
        self._files: dict[str, ReadFile] = {}
        self._read = _NOTHING
        self._ranking = Ranking(())
        self._vectors: dict[str, Vector] | None = None
        self._has_embeddings = False

    @property
    def documents(self) -> Mapping[str, Document]:
        """All documents by path, as of the last refresh."""
        return self._read.documents

    def link(self, document: str, anchor: str = "") -> str:
        """Return the address at which a person reads a document, or one section of it."""
        return f"{self._link_base}/{quote(document)}" + (f"#{quote(anchor)}" if anchor else "")

    async def refresh(self) -> IndexReport:
        """Follow the files; cheap when nothing changed. Searches go on with the old state.

        A file that cannot be read is left out and named in the report, it stops nothing else.
        """
        async with self._refreshing:
            started = time.monotonic()
            before = self._read
            read = await asyncio.to_thread(self._read_changed)
            embedded = 0
            if read != before or not self._has_embeddings:
                embedded = await self._rebuild(read)
            for problem in read.problems:
                if problem not in before.problems:
                    logger.warning("%s", problem)
            old, new = before.documents, read.documents
            return IndexReport(
                documents=len(new),
                passages=len(self._ranking.entries),
                added=tuple(sorted(new.keys() - old.keys())),
                changed=tuple(sorted(p for p in new.keys() & old.keys() if new[p] != old[p])),
                removed=tuple(sorted(old.keys() - new.keys())),
                embedded=embedded,
                searches_by_meaning=self._has_embeddings,
                problems=read.problems,
                seconds=time.monotonic() - started,
            )

    async def search(self, query: str, limit: int = 3) -> list[Passage]:
        """Find the passages that answer a question, best first; none where nothing is relevant.

        By words only, with a warning in the log, where embeddings are not available.
        """
        return [self._passage(ranked) for ranked in await self._search(query, limit)]

    async def for_alert(
        self, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None
    ) -> Document | None:
        """Find the runbook for an alert: the one that names it, otherwise the best by search.

        Where several name it, the one whose services occur among the labels' values is preferred.
        What was only found by search is a guess: `alertname` is not in its front matter's alerts.
        """
        name = labels.get("alertname", "")
        values = set(labels.values())
        named = [d for d in self.documents.values() if name in d.front_matter.alerts]
        if named:
            return max(named, key=lambda d: len(values.intersection(d.front_matter.services)))
        texts = [_NAME_BORDER.sub(" ", name)]
        texts += [(annotations or {}).get(key, "") for key in ("summary", "description")]
        found = await self._search(". ".join(filter(None, texts)), 1, MIN_ALERT_RELEVANCE)
        return found[0].entry.document if found else None

    def opening(self, document: str, limit: int) -> list[Passage]:
        """The first passages of a document, one for each heading, in their order."""
        firsts: dict[str, Entry] = {}
        for entry in self._read.entries.get(document, ()):
            firsts.setdefault(entry.chunk.anchor, entry)
        return [self._passage(Ranked(entry, 1.0)) for entry in list(firsts.values())[:limit]]

    async def _search(
        self, query: str, limit: int, min_relevance: float = MIN_RELEVANCE
    ) -> list[Ranked]:
        query = query.strip()[:MAX_QUERY_CHARS]
        ranking = self._ranking
        if not query or limit < 1 or not ranking.entries:
            return []
        vector = await self._query_vector(query, ranking.dimension)
        if vector is None:
            logger.warning("Searching by words only: embeddings are not available")
        if len(ranking.entries) <= INLINE_PASSAGES:
            return ranking.rank(query, vector, limit, min_relevance)
        return await asyncio.to_thread(ranking.rank, query, vector, limit, min_relevance)

    async def _query_vector(self, query: str, dimension: int) -> Vector | None:
        if not dimension:
            return None
        try:
            vector = (await embed_checked(self._embed, [query]))[0]
        except OrchestratorError as error:
            logger.warning("The question cannot be embedded: %s", error)
            return None
        if len(vector) != dimension:
            logger.warning("The embedding model is another one now: the next refresh embeds anew")
            self._vectors, self._has_embeddings = None, False
            return None
        return vector

    def _passage(self, ranked: Ranked) -> Passage:
        document, chunk = ranked.entry.document, ranked.entry.chunk
        return Passage(
            document=document.path,
            title=document.title,
            heading_path=chunk.heading_path,
            anchor=chunk.anchor,
            text=chunk.text,
            start_line=chunk.start_line,
            end_line=chunk.end_line,
            link=self.link(document.path, chunk.anchor),
            score=ranked.score,
        )

    def _read_changed(self) -> _Read:
        """Read what changed and cut it. Blocking; only one at a time."""
        self._files, problems = read_folders(self._folders, self._files)
        documents: dict[str, Document] = {}
        entries: dict[str, tuple[Entry, ...]] = {}
        for file in self._files.values():
            if file.document is None:
                problems.append(file.problem or "")
                continue
            path = file.document.path
            try:
                if self._read.documents.get(path) is file.document:
                    entries[path] = self._read.entries[path]
                else:
                    entries[path] = prepare(file.document)
                documents[path] = file.document
            except ReadingError as error:
                problems.append(str(error))
        return _Read(documents, entries, tuple(problems))

    async def _rebuild(self, read: _Read) -> int:
        entries = list(chain.from_iterable(read.entries.values()))
        wanted = {piece.key: piece.text for entry in entries for piece in entry.pieces}
        try:
            embedded = await self._embed_missing(wanted)
        except OrchestratorError as error:
            logger.warning("Runbooks are searched by words only, for now: %s", error)
            if read != self._read:
                self._ranking = await asyncio.to_thread(Ranking, entries)
                self._read, self._has_embeddings = read, False
            return 0
        known = self._vectors or {}
        self._ranking = await asyncio.to_thread(_ranking, entries, known)
        self._read, self._has_embeddings = read, True
        return embedded

    async def _embed_missing(self, texts: Mapping[str, str]) -> int:
        """Make `self._vectors` hold exactly these texts, the probes and the canary."""
        wanted = {**texts, **{digest(text): text for text in (*PROBES, CANARY)}}
        known = self._vectors
        if known is None:
            known = await self._load_cache()
        missing = [key for key in wanted if key not in known]
        found = await embed_checked(self._embed_later, [wanted[key] for key in missing])
        fresh = dict(zip(missing, found, strict=True))
        stale = known.keys() - wanted.keys()
        self._vectors = {key: fresh[key] if key in fresh else known[key] for key in wanted}
        if self._cache and (fresh or stale):
            await asyncio.to_thread(self._cache.update, fresh, stale)
        return len(texts.keys() & fresh.keys())

    async def _load_cache(self) -> dict[str, Vector]:
        known = await asyncio.to_thread(self._cache.load) if self._cache else {}
        if not known:
            return {}
        canary = (await embed_checked(self._embed_later, [CANARY]))[0]
        if digest(CANARY) in known and same_model(canary, known[digest(CANARY)]):
            return known
        logger.info("The embedding model is another one: embedding everything anew")
        if self._cache:
            await asyncio.to_thread(self._cache.update, {}, known.keys())
        return {}


def _ranking(entries: Sequence[Entry], known: Mapping[str, Vector]) -> Ranking:
    lengths = [len(entry.pieces) for entry in entries]
    vectors = Vectors(
        pieces=matrix(known, (piece.key for entry in entries for piece in entry.pieces)),
        starts=np.cumsum([0, *lengths[:-1]], dtype=np.intp),
        probes=matrix(known, map(digest, PROBES)),
    )
    return Ranking(entries, vectors)
