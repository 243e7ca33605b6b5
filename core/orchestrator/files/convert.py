"""Convert a GGUF file: `python -m core.orchestrator.files.convert GGUF FOLDER`, as safetensors.

Runs in a process of its own: it needs torch, and 13 seconds for the default model.
The weights are dequantised to bfloat16, which is what the engine computes in.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def convert(gguf: Path, folder: Path) -> None:
    """Write config, tokenizer with chat template, and bfloat16 weights into `folder`."""
    where = str(gguf.parent)
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=gguf.name)
    # sdpa and dequantize keep transformers from looking for compute kernels on a hub
    model = AutoModelForCausalLM.from_pretrained(
        where,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
        attn_implementation="sdpa",
        trust_remote_code=False,
    )
    tokenizer.save_pretrained(str(folder))
    model.save_pretrained(str(folder), safe_serialization=True)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
