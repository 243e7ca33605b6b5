"""Replies that are generated together are those that each would be alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.orchestrator import LocalAIOrchestrator
from core.orchestrator.files import catalog
from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.engine.jobs import ChatJob, Event, Failed, Finished, Piece
from core.orchestrator.server.engine.lookup import PromptLookup
from core.orchestrator.server.engine.sampling import Sampler
from core.orchestrator.server.engine.slots import SlotPool
from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.decoder import Decoder, TransformersDecoder
from core.services.ai import ChatMessage, ChatRequest

CHAT = catalog.DEFAULT_CHAT_MODEL
QUESTIONS = (
    "What is a DNS record?",
    "Erkläre 你好 and 🚀 in one sentence.",
    "Name three colours.",
    "The sky is blue. " * 60 + "What colour is the sky?",
)
PERSONA = "You help the people on call. " * 40


@pytest.fixture(scope="module")
def exact(models_dir: Path) -> ChatModel:
    return ChatModel.load(models_dir / CHAT, "float32", slots=4)


@pytest.fixture(scope="module")
def reference(models_dir: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(str(models_dir / CHAT), dtype=torch.float32)


class Reply(ChatJob):
    """A job whose events are kept."""

    def __init__(self, model: ChatModel, batch: ChatBatch, prompt: Sequence[int], tokens: int):
        self.events: list[Event] = []
        super().__init__(
            self.events.append,
            time.monotonic() + 600,
            model=model,
            batch=batch,
            prompt=prompt,
            sampler=Sampler(0.0, 1.0, None),
            max_tokens=tokens,
            stops=(),
            constraint=None,
        )

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Piece))

    @property
    def end(self) -> Finished:
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last


def run(batch: ChatBatch, jobs: Sequence[Reply]) -> int:
    """Let all of them end; how many steps that took."""
    left, steps = list(jobs), 0
    with torch.inference_mode():
        while left:
            done = batch.step(left)
            steps += 1
            left = [job for job in left if job not in done]
    return steps


def asked(model: ChatModel, question: str, system: str = "") -> list[int]:
    system_turn = [{"role": "system", "content": system}] if system else []
    return model.encode([*system_turn, {"role": "user", "content": question}])


def test_replies_at_once_are_transformers_greedy_tokens_each(
    exact: ChatModel, reference: Any
) -> None:
    batch = ChatBatch(exact.decoder)
    jobs = [Reply(exact, batch, asked(exact, question), 40) for question in QUESTIONS]
    run(batch, jobs)
    for job, question in zip(jobs, QUESTIONS, strict=True):
        prompt = torch.tensor([asked(exact, question)])
        output = reference.generate(prompt, do_sample=False, max_new_tokens=40)
        assert job.text == exact.decode(output[0, prompt.shape[1] :].tolist())


def test_a_known_beginning_is_computed_once_and_changes_nothing(exact: ChatModel) -> None:
    batch = ChatBatch(exact.decoder)
    first, again, other = (
        Reply(exact, batch, asked(exact, question, PERSONA), 12)
        for question in ("Who are you?", "Who are you?", "What is a pod?")
    )
    run(batch, [first])
    run(batch, [again, other])  # both at once: one takes the slot, one a copy
    assert first.end.cached_tokens == 0
    assert again.text == first.text
    assert min(again.end.cached_tokens, other.end.cached_tokens) > 200
    fresh = ChatBatch(exact.decoder)
    alone = Reply(exact, fresh, asked(exact, "What is a pod?", PERSONA), 12)
    run(fresh, [alone])
    assert alone.end.cached_tokens == 0
    assert other.text == alone.text


def test_a_job_that_is_dropped_frees_its_slot_at_the_next_step(exact: ChatModel) -> None:
    batch = ChatBatch(exact.decoder)
    jobs = [Reply(exact, batch, asked(exact, question), 200) for question in QUESTIONS]
    late = Reply(exact, batch, asked(exact, "Hello"), 2)
    with torch.inference_mode():
        for _ in range(4):
            batch.step([*jobs, late])
        assert not late.events
    run(batch, [late])
    assert late.end.completion_tokens <= 2


def test_a_long_prompt_does_not_stop_the_others(exact: ChatModel) -> None:
    batch = ChatBatch(exact.decoder)
    short = Reply(exact, batch, asked(exact, "Tell a story."), 100)
    with torch.inference_mode():
        batch.step([short])
        long = Reply(exact, batch, asked(exact, "word " * 1500), 1)
        steps = 0
        while not long.events:
            before = short.position
            batch.step([short, long])
            steps += 1
            assert short.position > before
    assert steps > 4


PASSAGE = (
    "Check the connection pool first: run the command show pools on the proxy, and look whether "
    "clients wait. If they wait, raise the size of the pool to fifty and restart the proxy. "
)


def test_a_reply_that_quotes_is_read_several_tokens_at_a_time(
    exact: ChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = asked(exact, f"Passage: {PASSAGE}\nSummarise the passage.")
    batch = ChatBatch(exact.decoder)
    quick, plain = (Reply(exact, batch, prompt, 60) for _ in range(2))
    steps = run(batch, [quick])
    monkeypatch.setattr(PromptLookup, "guess", lambda _, most: [])
    assert run(batch, [plain]) >= 60
    assert quick.text == plain.text
    assert steps < 40


class Broken(TransformersDecoder):
    """A decoder that fails in the second piece of a prompt, where it is told to."""

    broken = True

    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> torch.Tensor:
        logits = super().prefill(slot, tokens, start)
        if self.broken and start > 0 and len(tokens) > 1:
            raise RuntimeError("a kernel failed")
        return logits


def test_a_reply_that_fails_is_told_and_the_others_go_on(exact: ChatModel, reference: Any) -> None:
    decoder = Broken(reference, 2)
    batch = ChatBatch(decoder)
    long = asked(exact, QUESTIONS[-1])
    assert len(long) > 256
    bad, good = (Reply(exact, batch, prompt, 3) for prompt in (long, asked(exact, "Hello")))
    run(batch, [bad, good])
    assert bad.events == [Failed.in_engine()]
    assert good.end.completion_tokens == 3
    decoder.broken = False
    again = Reply(exact, batch, long, 3)
    run(batch, [again])
    assert again.end.cached_tokens < 256  # what the other prompt began with, at most


def test_the_decoder_of_transformers_does_the_same(exact: ChatModel, reference: Any) -> None:
    batch = ChatBatch(TransformersDecoder(reference, 2))
    first, second = (
        Reply(exact, batch, asked(exact, text, PERSONA), 8) for text in ("Hi", "What is a pod?")
    )
    run(batch, [first])
    run(batch, [second])
    assert second.end.cached_tokens > 200
    ours = ChatBatch(exact.decoder)
    same = Reply(exact, ours, asked(exact, "What is a pod?", PERSONA), 8)
    run(ours, [same])
    assert second.text == same.text


@pytest.mark.parametrize(("precision", "most"), [("int8", 0.01), ("int4", 0.04)])
def test_packed_weights_lose_little(models_dir: Path, precision: str, most: float) -> None:
    """Perplexity of the architecture's page, four tokens at a time as decoding reads them."""
    text = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text()
    whole = perplexity(ChatModel.load(models_dir / CHAT, "bfloat16").decoder, models_dir, text)
    packed = perplexity(ChatModel.load(models_dir / CHAT, precision).decoder, models_dir, text)
    print(f"perplexity {whole:.2f} in bfloat16, {packed:.2f} in {precision}")
    assert abs(packed / whole - 1) <= most


def perplexity(decoder: Decoder, models_dir: Path, text: str) -> float:
    tokenizer = AutoTokenizer.from_pretrained(str(models_dir / CHAT))
    tokens = tokenizer(text)["input_ids"][:400]
    loss = 0.0
    with torch.inference_mode():
        for at, token in enumerate(tokens[:-1]):
            logits = decoder.decode([0], [token], [at])[0]
            loss -= float(logits.log_softmax(-1)[tokens[at + 1]])
    return float(torch.tensor(loss / (len(tokens) - 1)).exp())


class Copies(Decoder):
    """Counts what is copied; computes nothing."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots, 1000, "nothing")
        self.copies: list[tuple[int, int, int]] = []

    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> torch.Tensor:
        raise NotImplementedError

    def decode(
        self, slots: Sequence[int], tokens: Sequence[int], positions: Sequence[int]
    ) -> torch.Tensor:
        raise NotImplementedError

    def score(
        self, slot: int, tokens: Sequence[int], parents: Sequence[int], start: int
    ) -> torch.Tensor:
        raise NotImplementedError

    def copy(self, source: int, target: int, length: int) -> None:
        self.copies.append((source, target, length))


def test_slots_are_chosen_by_what_they_hold() -> None:
    decoder = Copies(3)
    pool = SlotPool(decoder)
    persona = list(range(100))
    first, known = pool.take([*persona, 1000])
    assert known == 0
    pool.wrote(first, [*persona, 1000, 1001])
    second, known = pool.take([*persona, 2000])
    assert (second != first, known, decoder.copies) == (True, 100, [(first, second, 100)])
    pool.wrote(second, [2000])
    pool.release(first)
    pool.release(second)
    # The conversation goes on where it was, and a whole prompt is never known.
    assert pool.take([*persona, 1000, 1001, 1002]) == (first, 102)
    pool.release(first)
    assert pool.take([*persona, 1000]) == (first, 100)
    # An unrelated prompt takes the empty slot, then the one that was used longest ago.
    third, known = pool.take([7, 7, 7])
    assert (third not in (first, second), known) == (True, 0)
    assert pool.take([8, 8, 8])[0] == second
    assert pool.free == 0


async def test_the_whole_server_is_exact_in_float32(models_dir: Path, reference: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(models_dir / CHAT))
    local = LocalAIOrchestrator(models_dir, embedding_model=None, precision="float32")
    await local.start()
    try:
        question = ChatMessage(role="user", content=QUESTIONS[1])
        reply = await local.chat(ChatRequest(messages=(question,), max_tokens=30))
    finally:
        await local.close()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTIONS[1]}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    output = reference.generate(**prompt, do_sample=False, max_new_tokens=30)
    new = output[0, prompt["input_ids"].shape[1] :]
    assert reply.text == tokenizer.decode(new, skip_special_tokens=True)
