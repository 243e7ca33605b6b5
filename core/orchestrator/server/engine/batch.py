"""Continuous batching: every step reads a piece of prompts and one token of each reply.

A reply joins the batch at any step and leaves it at any step (Yu et al., "Orca", OSDI 2022). A long
prompt is read in pieces between the steps of the others (Agrawal et al., "Sarathi", 2023).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch

from core.orchestrator.server.engine.choice import ChoiceJob
from core.orchestrator.server.engine.jobs import Batch, ChatJob, Failed, Job, PromptJob
from core.orchestrator.server.engine.lookup import PromptLookup
from core.orchestrator.server.engine.next_tokens import next_tokens
from core.orchestrator.server.engine.slots import SlotPool
from core.orchestrator.server.models.decoder import Decoder

logger = logging.getLogger(__name__)

_PREFILL_TOKENS = 256  # of all prompts together in a step: about 0.2 s on 2 cores
_RIDING_TOKENS = 12  # forced ones: more are read in a pass of their own


class ChatBatch(Batch):
    """The replies and choices of one model."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._pool = SlotPool(decoder)
        self._seats: dict[PromptJob, int] = {}
        self._lookups: dict[PromptJob, PromptLookup] = {}

    def step(self, jobs: Sequence[Job]) -> list[Job]:
        """Advance all; those that are done and have emitted their last event."""
        replies = [job for job in jobs if isinstance(job, PromptJob)]
        self._leave(replies)
        for job in replies:
            if job not in self._seats and self._pool.free:
                self._seats[job], known = self._pool.take(
                    job.pending, anew=job.repeatable, adapter=job.adapter
                )
                job.skip(known)
        seated = [job for job in replies if job in self._seats]
        company = sum(not job.reading for job in seated) > 1
        done = self._prefill(
            [job for job in seated if len(job.pending) > 1 and not _rides(job, company)]
        )
        # Those whose prompt has just been read as well, in the order of the slots in the cache.
        decoding = [
            job
            for job in sorted(seated, key=lambda job: self._seats[job])
            if job not in done and (len(job.pending) == 1 or _rides(job, company))
        ]
        ahead = self._guess(decoding[0]) if len(decoding) == 1 else []
        if ahead:
            done += self._read_ahead(decoding[0], ahead)
        elif decoding:
            done += self._decode(decoding)
        for job in seated:
            if isinstance(job, ChoiceJob) and not job.pending and job not in done:
                done += self._score(job)
        return done

    def _leave(self, replies: Sequence[PromptJob]) -> None:
        for job in self._seats.keys() - set(replies):
            self._pool.release(self._seats.pop(job))
            self._lookups.pop(job, None)

    def _prefill(self, jobs: Sequence[PromptJob]) -> list[Job]:
        done: list[Job] = []
        room = _PREFILL_TOKENS
        for job in sorted(jobs, key=lambda job: job.urgency):
            if room <= 0:
                break
            slot, piece = self._seats[job], job.pending[:room]
            room -= len(piece)
            read = partial(self._decoder.prefill, slot, piece, job.position)
            logits = _attempt([job], read)
            if logits is None:
                self._pool.forget(slot)
                done.append(job)
                continue
            self._pool.wrote(slot, piece)
            if job.advance(len(piece)):
                done += _answer([job], logits[None])
        return done

    def _decode(self, jobs: Sequence[PromptJob]) -> list[Job]:
        slots = [self._seats[job] for job in jobs]
        tokens = [job.pending[0] for job in jobs]
        positions = [job.position for job in jobs]
        rows = _attempt(jobs, partial(self._decoder.decode, slots, tokens, positions))
        if rows is None:
            for slot in slots:
                self._pool.forget(slot)
            return list(jobs)
        for slot, token in zip(slots, tokens, strict=True):
            self._pool.wrote(slot, [token])
        complete = [index for index, job in enumerate(jobs) if job.advance(1)]
        if len(complete) < len(jobs):
            rows = rows[complete]
        return _answer([jobs[index] for index in complete], rows)

    def _guess(self, job: PromptJob) -> list[int]:
        """What a reply that is alone may say after its pending token."""
        if job.repeatable or not self._decoder.reuses:
            return []
        lookup = self._lookups.setdefault(job, PromptLookup())
        lookup.extend(self._pool.tokens(self._seats[job])[len(lookup) :])
        lookup.extend(job.pending[:1])
        return lookup.guess(self._decoder.context_length - job.position - 1)

    def _read_ahead(self, job: PromptJob, ahead: Sequence[int]) -> list[Job]:
        """Read the pending token and a guess in one pass, and keep what is right of the guess."""
        slot, tokens = self._seats[job], [job.pending[0], *ahead]
        chain = range(-1, len(ahead))
        logits = _attempt([job], partial(self._decoder.score, slot, tokens, chain, job.position))
        if logits is None:
            self._pool.forget(slot)
            return [job]
        right = -1
        done: list[Job] = []
        for token, row in zip(tokens, logits, strict=True):
            if done or token != job.pending[0]:
                break
            self._pool.wrote(slot, [token])
            right += 1
            if job.advance(1):
                done = _answer([job], row[None])
        self._lookups[job].judge(right)
        return done

    def _score(self, job: ChoiceJob) -> list[Job]:
        """Read some of the labels; the slot holds the prompt as before."""
        slot, tree = self._seats[job], job.tree
        read = partial(self._decoder.score, slot, tree.tokens, tree.parents, job.position)
        logits = _attempt([job], read)
        if logits is None:
            self._pool.forget(slot)
            return [job]
        return [job] if job.scored(logits) else []


def _rides(job: PromptJob, company: bool) -> bool:
    """Whether several tokens that the job writes are read one in each step, beside the others'.

    What a constraint forces to come next is read in one pass by a reply that is alone. In company
    that pass would cost more than the steps that are taken anyway.
    """
    return company and not job.reading and 1 < len(job.pending) <= _RIDING_TOKENS


def _answer(jobs: Sequence[PromptJob], logits: torch.Tensor) -> list[Job]:
    """Hand jobs the logits after all that they had to read; those that are done."""
    for job, row in zip(jobs, logits, strict=True):
        if isinstance(job, ChoiceJob):
            job.begin(row)
    writing = {at: job for at, job in enumerate(jobs) if isinstance(job, ChatJob)}
    if not writing:
        return []
    rows = logits if len(writing) == len(jobs) else logits[list(writing)]
    tokens = next_tokens(list(writing.values()), rows)
    return [job for job, token in zip(writing.values(), tokens, strict=True) if job.write(token)]


def _attempt(jobs: Sequence[PromptJob], work: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    """What `work` computes; where the kernel fails, the jobs that it was for are told."""
    try:
        return work()
    except (RuntimeError, MemoryError):  # torch: out of memory, a kernel that fails
        logger.exception("%d requests failed in the engine; the others go on.", len(jobs))
        for job in jobs:
            job.emit(Failed.in_engine())
        return None
