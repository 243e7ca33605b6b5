"""The examples of assistants and workflows as an index: which one is a request most like?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.state import AIAssistant, AIWorkflow

NEIGHBOURS = 2
"""Examples of one target that count: two, so that one odd example does not decide."""

_WORD = re.compile(r"[^\W\d_]{3,}")
_EMPTY_WORDS = """
    and are but can did does for from had has have how into its not our out that the their then
    there this was were what when where which who why will with you your
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())


class Target(NamedTuple):
    """What a request can be meant for: an assistant, or a workflow that some assistant proposes."""

    kind: str
    id: str
    meaning: str


class Example(NamedTuple):
    """One request of which the target is known."""

    target: Target
    text: str


class Scored(NamedTuple):
    """A target, how near the request is to it, and its examples, nearest first."""

    target: Target
    score: float
    nearest: tuple[str, ...]


def collect(
    assistants: Mapping[str, AIAssistant], workflows: Mapping[str, AIWorkflow]
) -> tuple[Example, ...]:
    """All examples; a workflow's name and objective are two more."""
    found = []
    for assistant in assistants.values():
        target = Target("assistant", assistant.id, assistant.speciality)
        found += [Example(target, text) for text in assistant.examples]
    proposed = {name for assistant in assistants.values() for name in assistant.workflows}
    for workflow in workflows.values():
        if workflow.id in proposed:
            target = Target("workflow", workflow.id, workflow.objective)
            texts = (workflow.name, workflow.objective, *workflow.examples)
            found += [Example(target, text) for text in texts]
    return tuple(found)


def rank(examples: Sequence[Example], similarities: Sequence[float]) -> list[Scored]:
    """Score each target by the mean of its nearest examples, best first."""
    by_target: dict[Target, list[tuple[float, str]]] = {}
    for example, similarity in zip(examples, similarities, strict=True):
        by_target.setdefault(example.target, []).append((float(similarity), example.text))
    scored = []
    for target, found in by_target.items():
        found.sort(reverse=True)
        near = found[:NEIGHBOURS]
        mean = sum(similarity for similarity, _ in near) / len(near)
        scored.append(Scored(target, mean, tuple(text for _, text in near)))
    return sorted(scored, key=lambda item: -item.score)


def by_words(examples: Sequence[Example], text: str) -> list[float]:
    """Similarity by the words in common (0 to 1), where there are no embeddings."""
    asked = _words(text)
    similarities = []
    for example in examples:
        words = _words(example.text)
        product = len(asked) * len(words)
        similarities.append(len(asked & words) / product**0.5 if product else 0.0)
    return similarities


def as_matrix(vectors: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """Vectors as rows of unit length; shape (texts, dimension)."""
    matrix = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: NDArray[np.float32] = matrix / np.maximum(norms, 1e-9)
    return unit


def _words(text: str) -> frozenset[str]:
    return frozenset(
        re.sub(r"(?:ing|ed|es|s|e)$", "", word)
        for word in _WORD.findall(text.casefold())
        if word not in _EMPTY
    )
