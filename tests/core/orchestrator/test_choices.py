"""A choice is scored: the prompt is read once, then all labels in one pass."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from openai import AsyncOpenAI
from transformers import AutoModelForCausalLM

from core.orchestrator.files import catalog
from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.engine.choice import ChoiceJob, label_trees
from core.orchestrator.server.engine.jobs import Event, Failed, Finished, Piece
from core.orchestrator.server.engine.sampling import Sampler
from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.decoder import Decoder, TransformersDecoder
from tests.support.model_server import ModelServer

CHAT = catalog.DEFAULT_CHAT_MODEL
QUESTION = "The disk of the database is full. Which runbook? Answer with its name only."
LABELS = ("deploy", "deploy-canary", "deploy-canary-eu", "free-disk-space", "rotate logs", "größer")


@pytest.fixture(scope="module")
def exact(models_dir: Path) -> ChatModel:
    return ChatModel.load(models_dir / CHAT, "float32", slots=4)


@pytest.fixture(scope="module")
def reference(models_dir: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(models_dir / CHAT), dtype=torch.float32)


@pytest.fixture(params=["llama", "transformers"])
def decoder(request: pytest.FixtureRequest, exact: ChatModel, reference: Any) -> Decoder:
    return exact.decoder if request.param == "llama" else TransformersDecoder(reference, 4)


@torch.inference_mode()
def test_a_tree_is_read_as_its_branches_alone(decoder: Decoder, reference: Any) -> None:
    prompt = [1, 4093, 198, 5027, 28, 905, 30]
    tokens, parents = [100, 200, 300, 400, 500], [-1, 0, 0, -1, 3]
    branches = {0: [100], 1: [100, 200], 2: [100, 300], 3: [400], 4: [400, 500]}
    decoder.prefill(1, prompt, 0)
    before = decoder.decode([1], [700], [len(prompt)])
    logits = decoder.score(1, tokens, parents, len(prompt))
    for index, branch in branches.items():
        alone = reference(torch.tensor([prompt + branch])).logits[0, -1]
        torch.testing.assert_close(logits[index], alone, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(decoder.decode([1], [700], [len(prompt)]), before)


class Choice(ChoiceJob):
    """A job whose events are kept."""

    def __init__(
        self,
        model: ChatModel,
        batch: ChatBatch,
        labels: Sequence[str],
        question: str = QUESTION,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.prompt = model.encode([{"role": "user", "content": question}])
        super().__init__(
            self.events.append,
            time.monotonic() + 600,
            model=model,
            batch=batch,
            prompt=self.prompt,
            labels={label: model.continuation(self.prompt, label) for label in labels},
            sampler=Sampler(temperature, 1.0, seed),
        )

    @property
    def label(self) -> str:
        piece = self.events[0]
        assert isinstance(piece, Piece)
        return piece.text

    @property
    def end(self) -> Finished:
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def shares(self) -> Mapping[str, float]:
        assert self.end.label_probabilities is not None
        return self.end.label_probabilities


@torch.inference_mode()
def run(batch: ChatBatch, job: ChoiceJob) -> int:
    steps = 1
    while not batch.step([job]):
        steps += 1
    batch.step([])
    return steps


@torch.inference_mode()
def by_transformers(reference: Any, model: ChatModel, prompt: Sequence[int], label: str) -> float:
    """Log-probability of the label and the reply's end, one token after the other."""
    tokens = model.continuation(prompt, label)
    rows = reference(torch.tensor([[*prompt, *tokens]])).logits[0].log_softmax(-1)
    written = [rows[len(prompt) - 1 + at, token] for at, token in enumerate(tokens)]
    return float(sum(written) + rows[-1, sorted(model.ends)].logsumexp(0))


def test_a_label_is_as_likely_as_transformers_says(
    decoder: Decoder, exact: ChatModel, reference: Any
) -> None:
    batch = ChatBatch(decoder)
    job = Choice(exact, batch, LABELS)
    assert run(batch, job) == 1
    scores = [by_transformers(reference, exact, job.prompt, label) for label in LABELS]
    expected = torch.tensor(scores).softmax(0).tolist()
    assert list(job.shares) == list(LABELS)
    assert list(job.shares.values()) == pytest.approx(expected, rel=2e-3)
    assert job.label == LABELS[scores.index(max(scores))]
    assert job.end.completion_tokens == len(exact.continuation(job.prompt, job.label))
    again = Choice(exact, batch, LABELS)  # the prompt is known, and what was scored left nothing
    run(batch, again)
    assert again.end.cached_tokens == len(job.prompt) - 1
    assert list(again.shares.values()) == pytest.approx(expected, rel=2e-3)


def test_many_labels_are_scored_in_groups(exact: ChatModel, reference: Any) -> None:
    batch = ChatBatch(exact.decoder)
    labels = [
        f"{word}-{number}" for word in ("alert", "runbook") for number in range(0, 10_000, 49)
    ]
    job = Choice(exact, batch, labels)
    steps = run(batch, job)
    assert steps > 1
    sample = labels[::80]
    scores = torch.tensor([by_transformers(reference, exact, job.prompt, name) for name in sample])
    ratios = torch.tensor([job.shares[name] for name in sample]).log() - scores
    torch.testing.assert_close(ratios, ratios[:1].expand(len(sample)), rtol=0, atol=0.02)


def test_what_labels_share_stands_once_in_their_tree() -> None:
    labels = {"ab": [1, 2], "a": [1], "abc": [1, 2, 3], "x": [9], "xy": [9, 8]}
    (tree,) = label_trees(labels, 100)
    assert sorted(tree.tokens) == [1, 2, 3, 8, 9]
    assert {label: tree.tokens[last] for label, last in tree.last.items()} == {
        label: tokens[-1] for label, tokens in labels.items()
    }
    trees = label_trees(labels, 3)
    assert [list(tree.last) for tree in trees] == [["a", "ab", "abc"], ["x", "xy"]]


def test_at_a_temperature_labels_come_as_often_as_they_are_likely(exact: ChatModel) -> None:
    batch = ChatBatch(exact.decoder)
    greedy = Choice(exact, batch, LABELS[:3])
    run(batch, greedy)
    drawn: Counter[str] = Counter()
    for seed in range(60):
        job = Choice(exact, batch, LABELS[:3], temperature=1.0, seed=seed)
        run(batch, job)
        drawn[job.label] += 1
    for label, share in greedy.shares.items():
        spread = 4 * math.sqrt(60 * share * (1 - share)) + 1
        assert abs(drawn[label] - 60 * share) <= spread


@pytest.mark.parametrize(
    "text", ["plain", " led by a blank", "two\nlines", "<|im_end|>", "你好 🚀", "\n", "  "]
)
def test_a_label_has_tokens_of_exactly_its_text(exact: ChatModel, text: str) -> None:
    prompt = exact.encode([{"role": "user", "content": "Hi"}])
    tokens = exact.continuation(prompt, text)
    assert exact.decode(tokens) == text
    assert not exact.ends & set(tokens)


class Broken(TransformersDecoder):
    """A decoder whose kernel fails on trees."""

    def score(
        self, slot: int, tokens: Sequence[int], parents: Sequence[int], start: int
    ) -> torch.Tensor:
        raise RuntimeError("a kernel failed")


def test_a_choice_that_fails_is_told(exact: ChatModel, reference: Any) -> None:
    batch = ChatBatch(Broken(reference, 1))
    job = Choice(exact, batch, LABELS)
    run(batch, job)
    assert job.events == [Failed.in_engine()]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_reply_says_how_sure_the_model_was(
    model_server: ModelServer, stream: bool
) -> None:
    async with AsyncOpenAI(
        base_url=model_server.base_url, api_key=model_server.token, max_retries=0
    ) as official:
        request: Any = {
            "model": CHAT,
            "messages": [{"role": "user", "content": "Say the word apple. Say only: apple"}],
            "temperature": 0,
            "extra_body": {"structured_outputs": {"choice": ["apple", "car", "apple"]}},
        }
        if stream:
            chunks = await official.chat.completions.create(**request, stream=True)
            choices = [choice async for chunk in chunks for choice in chunk.choices]
            text = "".join(choice.delta.content or "" for choice in choices)
            last = choices[-1]
        else:
            last = (await official.chat.completions.create(**request)).choices[0]
            text = last.message.content
    shares = (last.model_extra or {})["label_probabilities"]
    assert text == "apple"
    assert list(shares) == ["apple", "car"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["apple"] > 0.5
    assert last.logprobs is None


async def test_a_label_longer_than_the_context_is_refused(model_server: ModelServer) -> None:
    async with AsyncOpenAI(
        base_url=model_server.base_url, api_key=model_server.token, max_retries=0
    ) as official:
        with pytest.raises(openai.BadRequestError, match=r"a label [0-9]+; .* holds"):
            await official.chat.completions.create(
                model=CHAT,
                messages=[{"role": "user", "content": "word " * 7500}],
                extra_body={"structured_outputs": {"choice": ["no", "x1" * 1000]}},
            )
