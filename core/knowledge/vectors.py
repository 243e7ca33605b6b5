"""Embeddings of texts: asked for in batches, checked, and kept on disk by the text's digest."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.services.ai import OrchestratorError

logger = logging.getLogger(__name__)

Embed = Callable[[Sequence[str]], Awaitable[list[list[float]]]]
Vector = NDArray[np.float32]

BATCH = 32
# Embedded once in each process and compared with the cache: another model gives another vector.
CANARY = "The database connection pool is exhausted."
SAME_MODEL = 0.99


def digest(text: str) -> str:
    """Return the key of a text in the cache."""
    return hashlib.sha256(text.encode()).hexdigest()


class EmbeddingCache:
    """Unit vectors by digest in one SQLite file. Every method blocks; a broken file is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Vector]:
        """Read everything; empty where there is no usable cache."""
        if not self._path.exists():
            return {}
        try:
            with closing(sqlite3.connect(self._path, timeout=10)) as connection:
                rows = connection.execute("SELECT digest, vector FROM embeddings").fetchall()
            loaded = {key: np.frombuffer(raw, dtype=np.float32) for key, raw in rows}
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:
            logger.warning("%s is not a usable cache (%s); embedding anew", self._path, error)
            return self._nothing()
        if len({len(vector) for vector in loaded.values()}) > 1:
            logger.warning("%s has vectors of several lengths; embedding anew", self._path)
            return self._nothing()
        return loaded

    def update(self, fresh: Mapping[str, Vector], stale: Iterable[str]) -> None:
        """Add or replace some and drop others. Failing costs time later only, so it just warns."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS embeddings (digest TEXT PRIMARY KEY, vector BLOB)"
                )
                connection.executemany(
                    "DELETE FROM embeddings WHERE digest = ?", ((key,) for key in stale)
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO embeddings VALUES (?, ?)",
                    ((key, vector.tobytes()) for key, vector in fresh.items()),
                )
        except (OSError, sqlite3.Error) as error:
            logger.warning("%s cannot be written (%s); nothing is cached", self._path, error)

    def _nothing(self) -> dict[str, Vector]:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be removed (%s)", self._path, error)
        return {}


async def embed_checked(embed: Embed, texts: Sequence[str]) -> list[Vector]:
    """Embed in batches of `BATCH`; every vector is finite and brought to unit length.

    Raises `OrchestratorError` where the model server fails or answers with something else.
    """
    vectors: list[Vector] = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        reply = await embed(batch)
        if len(reply) != len(batch):
            raise OrchestratorError(
                f"The embedding model gave {len(reply)} vectors for {len(batch)} texts; "
                "check which model the orchestrator serves for embeddings"
            )
        vectors.extend(_unit(values) for values in reply)
    if len({len(vector) for vector in vectors}) > 1:
        raise OrchestratorError("The embedding model gave vectors of different lengths")
    return vectors


def _unit(values: Sequence[float]) -> Vector:
    vector = np.asarray(values, dtype=np.float32)
    length = float(np.linalg.norm(vector))
    if vector.ndim != 1 or not np.isfinite(length) or length == 0.0:
        raise OrchestratorError(
            "The embedding model gave an empty, zero or infinite vector; check its weights"
        )
    return vector / np.float32(length)


def same_model(one: Vector, other: Vector) -> bool:
    """Say whether two vectors of `CANARY` come from one model; rounding may differ."""
    return one.shape == other.shape and float(one @ other) >= SAME_MODEL


def matrix(vectors: Mapping[str, Vector], keys: Iterable[str]) -> NDArray[np.float32]:
    """Stack vectors as rows, in the order of the keys."""
    rows = [vectors[key] for key in keys]
    return np.stack(rows) if rows else np.zeros((0, 1), dtype=np.float32)
