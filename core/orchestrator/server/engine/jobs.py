"""What the engine works on: jobs, what they emit, and what advances them together."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from core.orchestrator.server.engine.sampling import Sampler
from core.orchestrator.server.engine.text import IncrementalDecoder, StopScanner
from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.constraint import Constraint, GrammarError
from core.orchestrator.server.models.lora import Adapter

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """Some text of the reply."""

    text: str


@dataclass(frozen=True)
class Queued:
    """The job waits; 1 is the next one."""

    place: int


@dataclass(frozen=True)
class Finished:
    """The reply is complete.

    Attributes:
        cached_tokens: of the prompt, computed for an earlier one.
        label_probabilities: of a choice: how the model would choose, all together 1.
    """

    reason: Literal["stop", "length"]
    completion_tokens: int
    cached_tokens: int = 0
    label_probabilities: Mapping[str, float] | None = None


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

    @classmethod
    def in_engine(cls) -> Failed:
        """A kernel failed: nothing that the caller could mend."""
        message = "The model failed on this request; the server's log says why."
        return cls(500, "engine_error", message)


Event = Queued | Piece | Finished | Embedded | Failed


class Job:
    """Work in small steps. `cancel` may come from any thread, the rest is the engine's.

    Args:
        emit: takes the events, called in the engine's thread.
        deadline: on the clock of `time.monotonic`.
        batch: what advances this job together with others.
        priority: lower goes first; above 0 nobody waits for it (background work).

    Attributes:
        urgency: what it goes by: its priority, until it has waited long.
    """

    def __init__(
        self, emit: Callable[[Event], None], deadline: float, batch: Batch, priority: int = 0
    ) -> None:
        self.emit = emit
        self.deadline = deadline
        self.batch = batch
        self.background = priority > 0
        self.urgency = priority
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


class Batch(ABC):
    """Advances jobs that belong together."""

    @abstractmethod
    def step(self, jobs: Sequence[Job]) -> list[Job]:
        """Do one step of all jobs that run now; those that are done and have emitted their last
        event. A job that was here at the last step and is not any more was dropped.
        """


class PromptJob(Job):
    """What begins with a prompt that the model reads.

    Attributes:
        pending: tokens that the model has not read yet.
        position: of the first of them.
        cached: tokens of the prompt that were computed for an earlier one.
        generated: tokens of the reply so far.
        repeatable: compute the whole prompt, since a beginning that was computed for another
            request differs in the last bits.
        adapter: what the model reads and writes with; None is the model itself.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        deadline: float,
        batch: Batch,
        prompt: Sequence[int],
        *,
        repeatable: bool,
        priority: int,
    ) -> None:
        super().__init__(emit, deadline, batch, priority)
        self.pending = list(prompt)
        self._prompt_length = len(prompt)
        self.position = 0
        self.cached = 0
        self.generated = 0
        self.repeatable = repeatable
        self.adapter: Adapter | None = None

    def skip(self, count: int) -> None:
        """Leave out the beginning of the prompt, which the cache holds already."""
        self.cached = count
        self.advance(count)

    def advance(self, count: int) -> bool:
        """Note that the model has read `count` of the pending tokens; True where none is left."""
        self.pending = self.pending[count:]
        self.position += count
        return not self.pending

    @property
    def reading(self) -> bool:
        """True as long as some of the prompt is not read."""
        return self.position < self._prompt_length


class ChatJob(PromptJob):
    """One reply; what was generated last is pending until the model has read it."""

    def __init__(
        self,
        emit: Callable[[Event], None],
        deadline: float,
        *,
        model: ChatModel,
        batch: Batch,
        prompt: Sequence[int],
        sampler: Sampler,
        max_tokens: int,
        stops: Sequence[str],
        constraint: Constraint | None,
        repeatable: bool = False,
        priority: int = 0,
    ) -> None:
        super().__init__(emit, deadline, batch, prompt, repeatable=repeatable, priority=priority)
        self._ends = model.ends
        self.sampler = sampler
        self._max_tokens = min(max_tokens, model.context_length - len(prompt))
        self.constraint = constraint
        self._decoder = IncrementalDecoder(model.decode)
        self._scanner = StopScanner(stops)

    def write(self, token: int | GrammarError) -> bool:
        """Go on by the token that was chosen; True where the reply is done."""
        try:
            if isinstance(token, GrammarError):
                raise token
            return self._continue(token)
        except GrammarError as error:
            self.emit(Failed(400, "invalid_grammar", f"The constraint cannot be met: {error}"))
            return True

    def _continue(self, token: int) -> bool:
        if token in self._ends:
            return self._finish("stop")
        if self._append(token):
            return True
        if self.constraint:
            for forced in self.constraint.forced():
                if self._append(forced):
                    return True
        return False

    def _append(self, token: int) -> bool:
        self.pending.append(token)
        self.generated += 1
        if self.constraint:
            self.constraint.accept(token)
        text, stopped = self._scanner.push(self._decoder.push(token))
        if text:
            self.emit(Piece(text))
        if stopped:
            self.emit(Finished("stop", self.generated, self.cached))
            return True
        if self.constraint and self.constraint.finished:
            return self._finish("stop")
        if self.generated >= self._max_tokens:
            return self._finish("length")
        return False

    def _finish(self, reason: Literal["stop", "length"]) -> bool:
        text, stopped = self._scanner.push(self._decoder.flush())
        if not stopped:
            text += self._scanner.flush()
        if text:
            self.emit(Piece(text))
        self.emit(Finished("stop" if stopped else reason, self.generated, self.cached))
        return True
