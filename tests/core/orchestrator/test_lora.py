"""Adapters of several requests in one batch: each row is what PEFT's own model gives."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.orchestrator import ModelFileError
from core.orchestrator.files import catalog
from core.orchestrator.server.engine.slots import SlotPool
from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.lora import CONFIG_NAME, WEIGHTS_NAME, Adapter, read_adapter
from tests.support.tiny_adapters import ATTENTION, EVERYTHING, save_adapter

QUESTION = [{"role": "user", "content": "What is a DNS record?"}]


class Trained(NamedTuple):
    """An adapter on the disk, and PEFT's model that runs it."""

    folder: Path
    peft: Any


@pytest.fixture(scope="module")
def exact(models_dir: Path) -> ChatModel:
    return ChatModel.load(models_dir / catalog.DEFAULT_CHAT_MODEL, "float32", slots=4)


@pytest.fixture(scope="module")
def trained(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Trained]:
    """Two adapters of different ranks on different modules."""
    base, folder = models_dir / catalog.DEFAULT_CHAT_MODEL, tmp_path_factory.mktemp("adapters")
    small = save_adapter(folder / "small", base, ATTENTION, rank=4, seed=1, strength=0.1)
    large = save_adapter(folder / "large", base, EVERYTHING, rank=16, seed=2)
    return Trained(folder / "small", small), Trained(folder / "large", large)


def _read(model: ChatModel, folder: Path) -> Adapter:
    assert model.decoder.layout is not None
    return read_adapter(folder, model.decoder.layout)


def test_rows_with_different_adapters_are_pefts_logits_and_tokens(
    exact: ChatModel, trained: tuple[Trained, Trained]
) -> None:
    small, large = (_read(exact, each.folder) for each in trained)
    prompt, decoder = exact.encode(QUESTION), exact.decoder
    adapters = [small, None, large, small]
    with torch.inference_mode():
        chosen = []
        for slot, adapter in enumerate(adapters):
            decoder.assign(slot, adapter)
            chosen.append([int(decoder.prefill(slot, prompt, 0).argmax())])
        for at in range(12):
            tokens = [row[-1] for row in chosen]
            logits = decoder.decode([0, 1, 2, 3], tokens, [len(prompt) + at] * 4)
            for row, choice in zip(chosen, logits.argmax(-1).tolist(), strict=True):
                row.append(choice)
        with trained[0].peft.disable_adapter():
            plain = _greedy(trained[0].peft, prompt)
        wanted = [_greedy(each.peft, prompt) for each in trained]
        assert chosen == [wanted[0], plain, wanted[1], wanted[0]]
        assert len({tuple(row) for row in chosen}) == 3  # the adapters do change the reply
        for slot, each in ((0, trained[0]), (2, trained[1])):
            whole = each.peft(input_ids=torch.tensor([prompt])).logits[0, -1]
            torch.testing.assert_close(decoder.prefill(slot, prompt, 0), whole, rtol=0, atol=2e-3)
        for slot in range(4):
            decoder.assign(slot, None)


def _greedy(model: Any, prompt: list[int]) -> list[int]:
    output = model.generate(
        input_ids=torch.tensor([prompt]), do_sample=False, min_new_tokens=13, max_new_tokens=13
    )
    tokens: list[int] = output[0, len(prompt) :].tolist()
    return tokens


def test_what_one_adapter_has_read_is_of_no_use_to_another(
    exact: ChatModel, trained: tuple[Trained, Trained]
) -> None:
    adapter, other = (_read(exact, each.folder) for each in trained)
    pool, prompt = SlotPool(exact.decoder), list(range(100))
    slot, _ = pool.take(prompt, adapter=adapter)
    pool.wrote(slot, prompt)
    pool.release(slot)
    for wanted, known in ((None, 0), (other, 0), (adapter, 99)):
        taken, held = pool.take(prompt, adapter=wanted)
        assert held == known
        assert exact.decoder.adapters[taken] is wanted
        pool.release(taken)


def _config(change: dict[str, object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / CONFIG_NAME
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    return apply


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS_NAME)
        change(tensors)
        save_file(tensors, folder / WEIGHTS_NAME)

    return apply


def _pickled(folder: Path) -> None:
    (folder / WEIGHTS_NAME).unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({}))


def _first(tensors: dict[str, torch.Tensor], half: str) -> str:
    return next(key for key in sorted(tensors) if f"lora_{half}" in key)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_config({"peft_type": "IA3"}), "peft_type"),
        (_config({"r": 512}), "rank up to 256"),
        (_config({"bias": "all"}), "bias"),
        (_config({"modules_to_save": ["lm_head"]}), "modules_to_save"),
        (_config({"use_dora": True}), "use_dora"),
        (_config({"rank_pattern": {"q_proj": 2}}), "rank_pattern"),
        (_config({"target_modules": ["lm_head"]}), "target_modules names 'lm_head'"),
        (_config({"r": 8}), "another rank than its configuration says"),
        (_config({"lora_alpha": "many"}), "lora_alpha"),
        (lambda folder: (folder / CONFIG_NAME).write_text("{"), CONFIG_NAME),
        (lambda folder: (folder / CONFIG_NAME).unlink(), "it is no adapter"),
        (_pickled, "pickles are refused"),
        (lambda folder: (folder / WEIGHTS_NAME).write_bytes(pickle.dumps({})), "not a safetensors"),
        (_weights(lambda t: t.update(extra=torch.zeros(1))), "'extra', which fits nothing"),
        (_weights(lambda t: t.pop(_first(t, "B"))), "only one of lora_A and lora_B"),
        (_weights(lambda t: t[_first(t, "A")].fill_(float("nan"))), "not finite"),
        (_weights(lambda t: t.clear()), "it is empty"),
        (
            _weights(
                lambda t: t.update(
                    {_first(t, "A").replace("layers.0", "layers.99"): t[_first(t, "A")].clone()}
                )
            ),
            "fits nothing",
        ),
    ],
)
def test_what_is_no_plain_adapter_of_this_model_is_refused(
    exact: ChatModel,
    trained: tuple[Trained, Trained],
    tmp_path: Path,
    spoil: Callable[[Path], None],
    told: str,
) -> None:
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        (tmp_path / name).write_bytes((trained[0].folder / name).read_bytes())
    _read(exact, tmp_path)
    spoil(tmp_path)
    with pytest.raises(ModelFileError, match=told):
        _read(exact, tmp_path)
