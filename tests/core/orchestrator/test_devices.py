"""Where models run. torch's `meta` device, which holds no data, stands in for a GPU: it refuses
what comes from another device, and says so in other words where its data are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.orchestrator import LocalAIOrchestrator
from core.orchestrator.files import catalog
from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.decoder import TransformersDecoder
from core.orchestrator.server.models.embedding_model import EmbeddingModel
from core.orchestrator.server.models.llama import LlamaDecoder
from core.services.ai import OrchestratorError

FETCHED = "Cannot copy out of meta tensor"
READ = "meta tensor"


def test_on_the_cpu_a_llama_runs_on_our_decoder_elsewhere_on_transformers(
    models_dir: Path, chat_model: ChatModel
) -> None:
    assert isinstance(chat_model.decoder, LlamaDecoder)
    elsewhere = ChatModel.load(models_dir / catalog.DEFAULT_CHAT_MODEL, device="meta")
    assert isinstance(elsewhere.decoder, TransformersDecoder)
    assert "on meta" in elsewhere.decoder.description


@pytest.mark.parametrize(
    "read",
    [
        lambda decoder: decoder.prefill(0, [1, 2, 3], 0),
        lambda decoder: decoder.decode([0], [1], [0]),
        lambda decoder: decoder.score(0, [1, 2, 3], [-1, 0, 0], 0),
    ],
    ids=["prefill", "decode", "score"],
)
def test_tokens_go_to_the_chat_models_device_and_logits_come_back(
    models_dir: Path, read: Callable[[TransformersDecoder], torch.Tensor]
) -> None:
    decoder = ChatModel.load(models_dir / catalog.DEFAULT_CHAT_MODEL, device="meta").decoder
    assert isinstance(decoder, TransformersDecoder)
    with torch.inference_mode(), pytest.raises(NotImplementedError, match=FETCHED):
        read(decoder)


def test_texts_go_to_the_embedding_models_device(models_dir: Path) -> None:
    model = EmbeddingModel.load(models_dir / catalog.DEFAULT_EMBEDDING_MODEL, "meta")
    with torch.inference_mode(), pytest.raises(RuntimeError, match=READ):
        model.forward(model.encode(["The disk is full.", "Yes."]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
async def test_a_gpu_that_is_asked_for_and_not_there_is_an_error_that_names_the_setting(
    models_dir: Path,
) -> None:
    orchestrator = LocalAIOrchestrator(models_dir, device="cuda")
    with pytest.raises(OrchestratorError, match="COUNTERSIGN_MODEL_DEVICE is cuda"):
        await orchestrator.start()
    await orchestrator.close()
