"""LoRA adapters with random weights, made by PEFT itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

ATTENTION = ("q_proj", "v_proj")
EVERYTHING = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def save_adapter(
    folder: Path,
    base: Path,
    targets: tuple[str, ...],
    *,
    rank: int = 8,
    seed: int = 0,
    strength: float = 0.02,
) -> Any:
    """Save an adapter that changes what the model says; PEFT's own model, in float32."""
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=list(targets), task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(model, config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:  # zero where training begins
            torch.nn.init.normal_(weight.data, std=strength)
    adapted.save_pretrained(str(folder))
    return adapted.eval()
