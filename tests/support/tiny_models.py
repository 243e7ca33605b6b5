"""Small chat models with random weights, made by transformers itself."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from core.orchestrator.files import catalog


def save_tiny(folder: Path, models_dir: Path, *, hidden: int = 64, seed: int = 0) -> Path:
    """Save a Llama of two layers with the default chat model's tokenizer, as a team would.

    Args:
        hidden: a multiple of 32; the embedding has 49,152 rows of it.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).bfloat16().save_pretrained(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(str(models_dir / catalog.DEFAULT_CHAT_MODEL))
    tokenizer.save_pretrained(str(folder))
    return folder
