"""A choice: how likely each label is as the whole reply, all of them read in one pass.

After the prompt the labels are read as a tree, in which what several begin with stands once, each
token seeing the prompt and its own ancestors (Miao et al., "SpecInfer", ASPLOS 2024, 4.2). A
label's score is the log-probability of its tokens and of the reply's end after them: without the
end, "deploy" would always be as good as "deploy-canary".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from core.orchestrator.server.engine.jobs import Batch, Event, Finished, Piece, PromptJob
from core.orchestrator.server.engine.sampling import Sampler, sample
from core.orchestrator.server.models.chat_model import ChatModel

_TREE_TOKENS = 256  # read in one step: the logits of each are in memory at once


@dataclass
class LabelTree:
    """Some labels, as `Decoder.score` takes them.

    Attributes:
        tokens: of all labels; `parents` says which one each follows, -1 the prompt.
        last: where each label ends, as an index of `tokens`.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=dict)
    _children: dict[tuple[int, int], int] = field(default_factory=dict)

    def missing(self, tokens: Sequence[int]) -> int:
        """How many tokens a label would add."""
        at, known = -1, 0
        for token in tokens:
            found = self._children.get((at, token))
            if found is None:
                break
            at, known = found, known + 1
        return len(tokens) - known

    def add(self, label: str, tokens: Sequence[int]) -> None:
        """Add a label."""
        at = -1
        for token in tokens:
            found = self._children.get((at, token))
            if found is None:
                found = self._children[at, token] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(at)
            at = found
        self.last[label] = at

    def scores(
        self, first: torch.Tensor, logits: torch.Tensor, ends: Sequence[int]
    ) -> dict[str, float]:
        """Log-probability of each label as the whole reply.

        Args:
            first: log-probabilities after the prompt, (vocabulary,).
            logits: after each token of the tree, (tokens, vocabulary).
            ends: tokens of which each ends a reply.
        """
        whole = logits.logsumexp(-1)
        ended = (logits[:, list(ends)].logsumexp(-1) - whole).tolist()
        parents = torch.tensor(self.parents).clamp(min=0)  # where it is -1, `first` counts
        chosen = torch.tensor(self.tokens)
        after_parent = (logits[parents, chosen] - whole[parents]).tolist()
        after_prompt = first[chosen].tolist()
        sums: list[float] = []
        for index, parent in enumerate(self.parents):
            sums.append(after_prompt[index] if parent < 0 else sums[parent] + after_parent[index])
        return {label: sums[last] + ended[last] for label, last in self.last.items()}


def label_trees(labels: Mapping[str, Sequence[int]], limit: int) -> list[LabelTree]:
    """All labels in trees of at most `limit` tokens, which each label alone must fit.

    Args:
        labels: with the tokens of each, in the order of the tokens neighbours share most.
    """
    trees = [LabelTree()]
    for label, tokens in sorted(labels.items(), key=lambda item: list(item[1])):
        if trees[-1].tokens and len(trees[-1].tokens) + trees[-1].missing(tokens) > limit:
            trees.append(LabelTree())
        trees[-1].add(label, tokens)
    return trees


class ChoiceJob(PromptJob):
    """One choice: the prompt is read as any, then a tree of labels a step.

    Args:
        labels: with their tokens; at least one, and the context holds each after the prompt.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        deadline: float,
        *,
        model: ChatModel,
        batch: Batch,
        prompt: Sequence[int],
        labels: Mapping[str, Sequence[int]],
        sampler: Sampler,
        repeatable: bool = False,
        priority: int = 0,
    ) -> None:
        super().__init__(emit, deadline, batch, prompt, repeatable=repeatable, priority=priority)
        self._labels = labels
        self._ends = sorted(model.ends)
        self._sampler = sampler
        room = model.context_length - len(prompt)
        self._trees = label_trees(labels, min(_TREE_TOKENS, room))
        self._first = torch.empty(0)
        self._scores: dict[str, float] = {}

    @property
    def tree(self) -> LabelTree:
        """What is to be scored next."""
        return self._trees[0]

    def begin(self, logits: torch.Tensor) -> None:
        """Take the logits after the prompt."""
        self._first = logits.log_softmax(-1)

    def scored(self, logits: torch.Tensor) -> bool:
        """Take the logits of `tree`; True where that was the last one and the label is chosen."""
        self._scores |= self._trees.pop(0).scores(self._first, logits, self._ends)
        if self._trees:
            return False
        labels = list(self._labels)  # in the caller's order: the first of equal ones
        scores = torch.tensor([self._scores[label] for label in labels], dtype=torch.float32)
        shares = scores.softmax(0).tolist()
        label = labels[sample(scores[None], [self._sampler])[0]]
        self.emit(Piece(label))
        self.generated = len(self._labels[label])
        self.emit(
            Finished(
                "stop",
                self.generated,
                self.cached,
                dict(zip(labels, shares, strict=True)),
            )
        )
        return True
