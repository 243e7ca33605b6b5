"""A cross-encoder on torch: how well a document answers a query, read together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForSequenceClassification

from core.orchestrator.files.manifest import ModelFileError, verify
from core.orchestrator.server.engine.encoding import padded
from core.orchestrator.server.models.pretrained import loading, read_pretrained

logger = logging.getLogger(__name__)


class Pair:
    """Query and document as tokens; `second` is where the document begins, 0 where unmarked."""

    def __init__(self, tokens: list[int], second: int) -> None:
        self.tokens = tokens
        self.second = second

    def __len__(self) -> int:
        return len(self.tokens)


class _Limits(NamedTuple):
    max_tokens: int
    marks: bool  # whether the model is told which part a token belongs to


class RerankModel:
    """A sequence classifier with one label, in sentence-transformers' CrossEncoder layout.

    https://sbert.net/docs/package_reference/cross_encoder/cross_encoder.html
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, limits: _Limits) -> None:
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._tokenizer_lock = threading.Lock()
        self._limits = limits

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> RerankModel:
        """Verify and load the model in `folder`, in float32.

        Raises:
            ModelFileError: a file is not the recorded one, or the model has more than one label.
        """
        manifest = verify(folder)
        with loading("rerank", folder, manifest.name):
            tokenizer, model = read_pretrained(
                AutoModelForSequenceClassification, folder, torch.float32, device
            )
        if model.config.num_labels != 1:
            raise ModelFileError(
                f"The model in {folder} has {model.config.num_labels} labels: a rerank model is a "
                "cross-encoder with one."
            )
        longest = min(int(model.config.max_position_embeddings), int(tokenizer.model_max_length))
        marks = "token_type_ids" in tokenizer.model_input_names
        logger.info("Rerank model %s is loaded.", manifest.name)
        return cls(manifest.name, model, tokenizer, _Limits(longest, marks))

    def encode(self, query: str, documents: Sequence[str]) -> list[Pair]:
        """Tokens of the query with each document; the longer of both is cut where they are long."""
        with self._tokenizer_lock:
            encoded = self._tokenizer(
                [query] * len(documents),
                list(documents),
                truncation="longest_first",
                max_length=self._limits.max_tokens,
            )
        pairs = []
        for row, ids in enumerate(encoded["input_ids"]):
            types = encoded["token_type_ids"][row] if self._limits.marks else []
            pairs.append(Pair(list(ids), types.index(1) if 1 in types else 0))
        return pairs

    def forward(self, batch: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """Scores from 0 to 1, by a sigmoid: float32, shape (pairs, 1)."""
        tokens, mask = padded([pair.tokens for pair in batch], self._tokenizer.pad_token_id or 0)
        inputs = {"input_ids": tokens, "attention_mask": mask}
        if self._limits.marks:
            places = torch.arange(tokens.shape[1])[None]
            seconds = torch.tensor([pair.second or tokens.shape[1] for pair in batch])[:, None]
            inputs["token_type_ids"] = (places >= seconds).long() * mask
        there = {name: tensor.to(self._model.device) for name, tensor in inputs.items()}
        scores: npt.NDArray[np.float32] = self._model(**there).logits.sigmoid().cpu().numpy()
        return scores
