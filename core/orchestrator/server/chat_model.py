"""A chat model on torch: from messages to tokens, from tokens to logits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedTokenizerFast

from core.orchestrator.manifest import ModelFileError, mend, verify
from core.orchestrator.server.constraint import GrammarCompiler

logger = logging.getLogger(__name__)

_WORD_JOINER = "\u2060"


class PromptError(Exception):
    """The messages cannot be put into this model's chat template; says why."""


class ChatModel:
    """Weights, tokenizer and chat template. `forward` belongs to one thread, the rest to all.

    bfloat16 where measured on the default model with 2 threads: 47 tokens/s decoding and 1,370
    prefilling; float32: 25 and 490.
    """

    def __init__(self, name: str, model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
        self.name = name
        self._model = model
        self._tokenizer: Any = tokenizer
        self._tokenizer_lock = threading.Lock()
        self.context_length = int(model.config.max_position_embeddings)
        self.ends = _end_tokens(model, tokenizer)
        self.grammars = GrammarCompiler(tokenizer, int(model.config.vocab_size), sorted(self.ends))
        self._control = _control_texts(tokenizer)

    @classmethod
    def load(cls, folder: Path) -> ChatModel:
        """Verify and load the model in `folder`.

        Raises:
            ModelFileError: a file is not the recorded one, or it is no chat model.
        """
        manifest = verify(folder)
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
            model: Any = AutoModelForCausalLM.from_pretrained(
                str(folder),
                dtype=torch.bfloat16,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                attn_implementation="sdpa",
            )
            model.eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelFileError(
                f"The chat model in {folder} cannot be loaded: {error}. {mend(manifest.name)}"
            ) from error
        if not tokenizer.chat_template:
            raise ModelFileError(
                f"The model in {folder} has no chat template (chat_template.jinja): "
                "import an instruction-tuned model."
            )
        logger.info("Chat model %s is loaded.", manifest.name)
        return cls(manifest.name, model, tokenizer)

    def encode(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Token ids of a conversation, up to where the assistant's reply begins.

        Raises:
            PromptError: the model's template refuses the order or the roles.
        """
        shielded = [item | {"content": self._shield(item["content"])} for item in messages]
        try:
            with self._tokenizer_lock:
                encoded = self._tokenizer.apply_chat_template(
                    shielded, add_generation_prompt=True, tokenize=True, return_dict=True
                )
        except jinja2.TemplateError as error:
            raise PromptError(f"the chat template of {self.name} says: {error}") from error
        return [int(token) for token in encoded["input_ids"]]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, without control tokens."""
        with self._tokenizer_lock:
            return str(
                self._tokenizer.decode(
                    list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
                )
            )

    def new_cache(self) -> DynamicCache:
        """An empty key-value cache for one conversation."""
        return DynamicCache(config=self._model.config)

    def forward(self, tokens: Sequence[int], cache: DynamicCache) -> torch.Tensor:
        """Append `tokens` to `cache`; logits after the last one: float32, (vocabulary,)."""
        output = self._model(
            input_ids=torch.tensor([list(tokens)]), cache=cache, use_cache=True, logits_to_keep=1
        )
        logits: torch.Tensor = output.logits[0, -1].float()
        return logits

    def _shield(self, text: str) -> str:
        """Break control tokens in text from outside, so that nobody can forge a turn."""
        for control in self._control:
            if control in text:
                text = text.replace(control, control[0] + _WORD_JOINER + control[1:])
        return text


def _end_tokens(model: Any, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = set(configured) if isinstance(configured, list) else {configured}
    ends.add(tokenizer.eos_token_id)
    return frozenset(int(token) for token in ends if token is not None)


def _control_texts(tokenizer: PreTrainedTokenizerFast) -> tuple[str, ...]:
    added = tokenizer.added_tokens_decoder.values()
    texts = {token.content for token in added if token.special and len(token.content) > 1}
    return tuple(sorted(texts, key=len, reverse=True))
