"""The model server's decoder over a folder's weights, without the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from core.orchestrator.server.decoder import Precision
from core.orchestrator.server.llama import LlamaDecoder


def load_decoder(folder: Path, precision: Precision, slots: int) -> LlamaDecoder:
    """Loaded as the server does; call it under `torch.inference_mode()`."""
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(folder),
        dtype=torch.float32 if precision == "float32" else torch.bfloat16,
        local_files_only=True,
        use_safetensors=True,
    )
    return LlamaDecoder(model, precision, slots)
