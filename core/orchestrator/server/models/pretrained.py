"""Reading a model folder by transformers: nothing from elsewhere, no code, no pickles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from core.orchestrator.files.manifest import ModelFileError, mend


@contextmanager
def loading(kind: str, folder: Path, name: str) -> Iterator[None]:
    """Turn what fails while the folder of model `name` is read into `ModelFileError`."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelFileError(
            f"The {kind} model in {folder} cannot be loaded: {error}. {mend(name)}"
        ) from error


def read_pretrained(
    architecture: Any, folder: Path, dtype: torch.dtype, device: str
) -> tuple[Any, Any]:
    """The tokenizer and the model in a verified folder.

    Args:
        architecture: transformers' `AutoModel…` class.
        device: torch's name of where the model runs.
    """
    tokenizer = AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    model = architecture.from_pretrained(
        str(folder),
        dtype=dtype,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        attn_implementation="sdpa",
    )
    return tokenizer, model.eval().to(device)
