"""A sentence-embedding model on torch, in sentence-transformers' folder layout."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize
from transformers import AutoModel

from core.orchestrator.files.manifest import ModelFileError, verify
from core.orchestrator.server.engine.encoding import padded
from core.orchestrator.server.models.pretrained import loading, read_pretrained

logger = logging.getLogger(__name__)


class EmbeddingModel:
    """Encoder, mean or CLS pooling, unit length: what sentence-transformers computes.

    Text beyond `max_tokens` is cut off, as there.

    Attributes:
        digest: of the model's files.
    """

    def __init__(
        self, name: str, digest: str, model: Any, tokenizer: Any, *, max_tokens: int, mean: bool
    ) -> None:
        self.name = name
        self.digest = digest
        self._model = model
        self._tokenizer = tokenizer
        self._tokenizer_lock = threading.Lock()
        self._mean = mean
        self._max_tokens = max_tokens

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> EmbeddingModel:
        """Verify and load the model in `folder`, in float32.

        Raises:
            ModelFileError: a file is not the recorded one, or pooling is of another kind.
        """
        manifest = verify(folder)
        with loading("embedding", folder, manifest.name):
            tokenizer, model = read_pretrained(AutoModel, folder, torch.float32, device)
            pooling = _json(folder / "1_Pooling" / "config.json")
            limit = _json(folder / "sentence_bert_config.json").get("max_seq_length")
        mean = bool(pooling.get("pooling_mode_mean_tokens", not pooling))
        if not mean and not pooling.get("pooling_mode_cls_token"):
            raise ModelFileError(
                f"{folder / '1_Pooling' / 'config.json'} asks for a pooling that is not served: "
                "only mean and CLS pooling are."
            )
        longest = int(model.config.max_position_embeddings)
        logger.info("Embedding model %s is loaded.", manifest.name)
        return cls(
            manifest.name,
            manifest.digest,
            model,
            tokenizer,
            max_tokens=min(int(limit or longest), longest),
            mean=mean,
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        with self._tokenizer_lock:
            encoded = self._tokenizer(list(texts), truncation=True, max_length=self._max_tokens)
        return [[int(token) for token in ids] for ids in encoded["input_ids"]]

    def forward(self, batch: Sequence[list[int]]) -> npt.NDArray[np.float32]:
        """Embed token ids: float32, shape (texts, dimension), rows of length 1."""
        tokens, mask = padded(batch, int(self._tokenizer.pad_token_id or 0))
        tokens, mask = tokens.to(self._model.device), mask.to(self._model.device)
        hidden = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state
        if self._mean:
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        else:
            pooled = hidden[:, 0]
        vectors: npt.NDArray[np.float32] = normalize(pooled, dim=1).cpu().numpy()
        return vectors


def _json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of the model; empty where the model has no such file."""
    if not path.is_file():
        return {}
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not a JSON object")  # noqa: TRY004 - a wrong value
    return value
