"""A choice is scored: the prompt is read once, then all labels in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.orchestrator import catalog
from core.orchestrator.server.chat_model import ChatModel
from core.orchestrator.server.decoder import Decoder, TransformersDecoder

CHAT = catalog.DEFAULT_CHAT_MODEL


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
