"""Texts through an encoder: those of several requests in one pass, where they are short."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from core.orchestrator.server.engine.jobs import Batch, Embedded, Event, Failed, Job

logger = logging.getLogger(__name__)

_PASS_TOKENS = 2048  # in one pass, with their padding
_SHORT = 32  # tokens; texts that are no longer share a pass whatever their lengths


class Tokens(Protocol):
    """A text that is ready for the model; its length is what it costs."""

    def __len__(self) -> int:
        """Number of tokens."""


T = TypeVar("T", bound=Tokens)
M = TypeVar("M", bound=Tokens, contravariant=True)


class Encoder(Protocol[M]):
    """A model that turns each text into one vector, whatever stands beside it."""

    def forward(self, batch: Sequence[M]) -> npt.NDArray[np.float32]:
        """Vectors of the texts: float32, shape (texts, dimension)."""


class EncodingJob(Job, Generic[T]):
    """Texts of one request, longest first."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        deadline: float,
        *,
        batch: Batch,
        texts: Sequence[T],
        priority: int = 0,
    ) -> None:
        super().__init__(emit, deadline, batch, priority)
        self._texts = texts
        self._order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        self._vectors: list[npt.NDArray[np.float32] | None] = [None] * len(texts)

    @property
    def sizes(self) -> list[int]:
        """Tokens of the texts that are left, the longest first, each at least 1."""
        return [max(1, len(self._texts[index])) for index in reversed(self._order)]

    @property
    def left(self) -> bool:
        """Whether a text is left."""
        return bool(self._order)

    def take(self) -> tuple[int, T]:
        """The longest text that is left, and its place."""
        index = self._order.pop()
        return index, self._texts[index]

    def put(self, index: int, vector: npt.NDArray[np.float32]) -> None:
        """Note the vector of a text."""
        self._vectors[index] = vector

    def finish(self) -> None:
        """Emit all vectors."""
        self.emit(Embedded(np.stack([vector for vector in self._vectors if vector is not None])))


class EncodingTurns(Batch, Generic[T]):
    """Advances the requests of one encoder: a pass for one of them, filled up with the others'.

    Texts of like length share a pass, since each is padded to the longest.
    """

    def __init__(self, model: Encoder[T]) -> None:
        self._model = model
        self._order: list[Job] = []

    def step(self, jobs: Sequence[Job]) -> list[Job]:
        """One pass for one of the most urgent requests, the one whose turn is longest ago."""
        here = [job for job in self._order if job in jobs]
        here += [job for job in jobs if job not in self._order]
        here.sort(key=lambda job: job.urgency)
        # Others of the same urgency only: background work must not make a question's pass longer.
        requests = [
            job for job in here if isinstance(job, EncodingJob) and job.urgency == here[0].urgency
        ]
        taken = _fill(requests)
        self._order = [*here[1:], here[0]]
        members = list(dict.fromkeys(job for job, _, _ in taken))
        try:
            vectors = self._model.forward([text for _, _, text in taken])
        except (RuntimeError, MemoryError):  # torch: out of memory, a kernel that fails
            logger.exception("%d requests failed in an encoder; others go on.", len(members))
            for job in members:
                job.emit(Failed.in_engine())
            return list(members)
        for (job, index, _), vector in zip(taken, vectors, strict=True):
            job.put(index, vector)
        done: list[Job] = []
        for job in members:
            if not job.left:
                job.finish()
                self._order.remove(job)
                done.append(job)
        return done


def _fill(requests: Sequence[EncodingJob[T]]) -> list[tuple[EncodingJob[T], int, T]]:
    """Texts for one pass: of the first request as many as fit, of the others all or none."""
    taken: list[tuple[EncodingJob[T], int, T]] = []
    sizes: list[int] = []
    for job in requests:
        wanted = job.sizes
        if job is requests[0]:
            wanted = wanted[: max(1, _PASS_TOKENS // wanted[0])]
        elif not _share(sizes + wanted):
            continue
        sizes += wanted
        taken += [(job, *job.take()) for _ in wanted]
    return taken


def _share(sizes: Sequence[int]) -> bool:
    """Whether texts of these sizes belong into one pass."""
    longest = max(sizes)
    alike = longest <= _SHORT or longest <= 2 * min(sizes)
    return alike and longest * len(sizes) <= _PASS_TOKENS


def padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and their mask as an encoder takes them: int64, shape (rows, longest)."""
    longest = max(len(row) for row in rows)
    tokens = torch.full((len(rows), longest), padding)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for at, row in enumerate(rows):
        tokens[at, : len(row)] = torch.tensor(list(row))
        mask[at, : len(row)] = 1
    return tokens, mask
