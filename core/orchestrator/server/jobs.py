"""What the engine works on: a chat reply or a batch of embeddings, one small step at a time."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from core.orchestrator.server.chat_model import ChatModel
from core.orchestrator.server.constraint import Constraint, GrammarError
from core.orchestrator.server.embedding_model import EmbeddingModel
from core.orchestrator.server.sampling import Sampler
from core.orchestrator.server.text import IncrementalDecoder, StopScanner

_PREFILL_TOKENS = 256  # a step of a long prompt: about 0.2 s on 2 cores
_EMBEDDING_TOKENS = 2048  # padded tokens in one batch of embeddings


@dataclass(frozen=True)
class Piece:
    """Some text of the reply."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The reply is complete."""

    reason: Literal["stop", "length"]
    completion_tokens: int


@dataclass(frozen=True)
class Embedded:
    """Vectors in the order of the texts: float32, shape (texts, dimension)."""

    vectors: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Failed:
    """The job ended without a result; `code` is OpenAI's `error.code`."""

    status: int
    code: str
    message: str


Event = Piece | Finished | Embedded | Failed


class Job(ABC):
    """Work in small steps. Steps run in the engine's thread; `cancel` may come from any.

    Args:
        emit: takes the events, called in the engine's thread.
        deadline: on the clock of `time.monotonic`.
    """

    def __init__(self, emit: Callable[[Event], None], deadline: float) -> None:
        self.emit = emit
        self.deadline = deadline
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Let the engine drop this job before its next step."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """True where nobody waits for the result."""
        return self._cancelled.is_set()

    @property
    def expired(self) -> bool:
        """True where the deadline is over."""
        return time.monotonic() >= self.deadline

    @abstractmethod
    def step(self) -> bool:
        """Do one step; True where the job is done and has emitted its last event."""


class ChatJob(Job):
    """One reply: prefill in pieces, then one token a step."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        deadline: float,
        *,
        model: ChatModel,
        prompt: Sequence[int],
        sampler: Sampler,
        max_tokens: int,
        stops: Sequence[str],
        constraint: Constraint | None,
    ) -> None:
        super().__init__(emit, deadline)
        self._model = model
        self._pending = list(prompt)
        self._sampler = sampler
        self._max_tokens = min(max_tokens, model.context_length - len(prompt))
        self._constraint = constraint
        self._cache = model.new_cache()
        self._decoder = IncrementalDecoder(model.decode)
        self._scanner = StopScanner(stops)
        self._generated = 0

    def step(self) -> bool:
        """Prefill the next piece of the prompt, or generate the next token."""
        piece, self._pending = self._pending[:_PREFILL_TOKENS], self._pending[_PREFILL_TOKENS:]
        logits = self._model.forward(piece, self._cache)
        if self._pending:
            return False
        try:
            return self._continue(logits)
        except GrammarError as error:
            self.emit(Failed(400, "invalid_grammar", f"The constraint cannot be met: {error}"))
            return True

    def _continue(self, logits: torch.Tensor) -> bool:
        forbidden = self._constraint.forbidden() if self._constraint else None
        token = self._sampler.choose(logits, forbidden)
        if token in self._model.ends:
            return self._finish("stop")
        if self._append(token):
            return True
        if self._constraint:
            for forced in self._constraint.forced():
                if self._append(forced):
                    return True
        return False

    def _append(self, token: int) -> bool:
        self._pending.append(token)
        self._generated += 1
        if self._constraint:
            self._constraint.accept(token)
        text, stopped = self._scanner.push(self._decoder.push(token))
        if text:
            self.emit(Piece(text))
        if stopped:
            self.emit(Finished("stop", self._generated))
            return True
        if self._constraint and self._constraint.finished:
            return self._finish("stop")
        if self._generated >= self._max_tokens:
            return self._finish("length")
        return False

    def _finish(self, reason: Literal["stop", "length"]) -> bool:
        text, stopped = self._scanner.push(self._decoder.flush())
        if not stopped:
            text += self._scanner.flush()
        if text:
            self.emit(Piece(text))
        self.emit(Finished("stop" if stopped else reason, self._generated))
        return True


class EmbeddingJob(Job):
    """Texts of one request, longest first, a bounded batch a step."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        deadline: float,
        *,
        model: EmbeddingModel,
        texts: Sequence[Sequence[int]],
    ) -> None:
        super().__init__(emit, deadline)
        self._model = model
        self._texts = texts
        self._order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        self._vectors: dict[int, npt.NDArray[np.float32]] = {}

    def step(self) -> bool:
        """Embed the next batch; texts of like length share one, to waste no padding."""
        longest = max(1, len(self._texts[self._order[0]]))
        count = max(1, _EMBEDDING_TOKENS // longest)
        batch, self._order = self._order[:count], self._order[count:]
        vectors = self._model.forward([self._texts[index] for index in batch])
        self._vectors.update(zip(batch, vectors, strict=True))
        if self._order:
            return False
        self.emit(Embedded(np.stack([self._vectors[at] for at in range(len(self._texts))])))
        return True
