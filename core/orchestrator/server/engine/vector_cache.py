"""Embeddings that were computed already, by the digest of model and text."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

DEFAULT_BYTES = 64 << 20  # about 30,000 vectors of 384 numbers
_OVERHEAD = 400  # bytes of an entry besides its numbers


class Known(NamedTuple):
    """A vector (float32, read only) and how many tokens its text has."""

    vector: npt.NDArray[np.float32]
    tokens: int


class VectorCache:
    """Keeps the vectors that were used last. For one event loop.

    Args:
        limit: bytes that all entries together may take.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self._limit = limit
        self._entries: OrderedDict[bytes, Known] = OrderedDict()
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes that the entries take, by estimate."""
        return self._used

    def get(self, key: bytes) -> Known | None:
        """What is known of a text."""
        known = self._entries.get(key)
        if known is not None:
            self._entries.move_to_end(key)
        return known

    def put(self, key: bytes, known: Known) -> None:
        """Keep a vector; those that were not used for longest leave."""
        if key in self._entries:
            return
        vector = known.vector.copy()  # a row of a batch would hold the whole batch
        vector.setflags(write=False)
        self._entries[key] = Known(vector, known.tokens)
        self._used += _size(vector)
        while self._used > self._limit:
            _, gone = self._entries.popitem(last=False)
            self._used -= _size(gone.vector)


def key(model: str, text: str) -> bytes:
    """The digest of a text, for a model.

    Args:
        model: the model's own digest, in hexadecimal.
    """
    return hashlib.sha256(f"{model}\n{text}".encode("utf-8", "surrogatepass")).digest()


def _size(vector: npt.NDArray[np.float32]) -> int:
    return int(vector.nbytes) + _OVERHEAD
