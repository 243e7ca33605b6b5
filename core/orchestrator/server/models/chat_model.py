"""A chat model on torch: from messages to tokens, from tokens to logits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from core.orchestrator.files.manifest import ModelFileError, verify
from core.orchestrator.server.api.shield import shield_all
from core.orchestrator.server.models.constraint import GrammarCompiler
from core.orchestrator.server.models.decoder import Decoder, Precision, TransformersDecoder
from core.orchestrator.server.models.llama import LlamaDecoder
from core.orchestrator.server.models.pretrained import loading, read_pretrained

logger = logging.getLogger(__name__)

_TAIL = 4  # tokens of a prompt that decide how the text after it is cut into tokens


class PromptError(Exception):
    """The messages cannot be put into this model's chat template; says why."""


class ChatModel:
    """Decoder, tokenizer and chat template. The decoder belongs to one thread, the rest to all."""

    def __init__(
        self, name: str, model: Any, tokenizer: PreTrainedTokenizerFast, decoder: Decoder
    ) -> None:
        self.name = name
        self.decoder = decoder
        self._tokenizer: Any = tokenizer
        self._tokenizer_lock = threading.Lock()
        self.context_length = int(model.config.max_position_embeddings)
        self.ends = _end_tokens(model, tokenizer)
        self.grammars = GrammarCompiler(tokenizer, int(model.config.vocab_size), sorted(self.ends))
        self._control = _control_texts(tokenizer)

    @classmethod
    def load(
        cls,
        folder: Path,
        precision: Precision = "bfloat16",
        slots: int = 1,
        device: str = "cpu",
    ) -> ChatModel:
        """Verify and load the model in `folder`.

        Args:
            precision: of the weights, for a Llama architecture on the CPU; others run in bfloat16,
                or in float32 where that is asked for.
            slots: conversations that the decoder can hold.
            device: torch's name of where the model runs.

        Raises:
            ModelFileError: a file is not the recorded one, or it is no chat model.
        """
        manifest = verify(folder)
        dtype = torch.float32 if precision == "float32" else torch.bfloat16
        with loading("chat", folder, manifest.name):
            tokenizer, model = read_pretrained(AutoModelForCausalLM, folder, dtype, device)
        if not tokenizer.chat_template:
            raise ModelFileError(
                f"The model in {folder} has no chat template (chat_template.jinja): "
                "import an instruction-tuned model."
            )
        with torch.inference_mode():
            decoder = _decoder(model, precision, slots)
        logger.info("Chat model %s is loaded: %s.", manifest.name, decoder.description)
        return cls(manifest.name, model, tokenizer, decoder)

    @property
    def template(self) -> str:
        """The chat template, a Jinja source."""
        return str(self._tokenizer.chat_template)

    def encode(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()
    ) -> list[int]:
        """Token ids of a conversation, up to where the assistant's reply begins.

        Args:
            tools: for a template that takes them; control tokens in all texts are broken.

        Raises:
            PromptError: the model's template refuses the order or the roles.
        """
        try:
            with self._tokenizer_lock:
                encoded = self._tokenizer.apply_chat_template(
                    shield_all(list(messages), self._control),
                    tools=shield_all(list(tools), self._control) or None,
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=True,
                )
        except jinja2.TemplateError as error:
            raise PromptError(f"the chat template of {self.name} says: {error}") from error
        return [int(token) for token in encoded["input_ids"]]

    def continuation(self, prompt: Sequence[int], text: str) -> list[int]:
        """Token ids of `text` as the tokenizer would have them after `prompt`.

        Raises:
            PromptError: no tokens were found that are exactly this text.
        """
        tail = list(prompt[-_TAIL:])
        for tokens in (self._joined(tail, text), self._apart(text)):
            if tokens and self.decode(tokens) == text:
                return tokens
        raise PromptError(f"{self.name} has no tokens for exactly {text!r}")

    def _joined(self, tail: list[int], text: str) -> list[int]:
        """The tokens behind `tail`; none where the tokenizer joins the two in another way."""
        with self._tokenizer_lock:
            before = self._tokenizer.decode(tail, clean_up_tokenization_spaces=False)
            tokens: list[int] = self._tokenizer(before + text, add_special_tokens=False)[
                "input_ids"
            ]
        return tokens[len(tail) :] if tokens[: len(tail)] == tail else []

    def _apart(self, text: str) -> list[int]:
        """The tokens of a text alone, in which a control token is only text."""
        with self._tokenizer_lock:
            tokens: list[int] = self._tokenizer(
                text, add_special_tokens=False, split_special_tokens=True
            )["input_ids"]
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, without control tokens."""
        with self._tokenizer_lock:
            return str(
                self._tokenizer.decode(
                    list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
                )
            )


def _decoder(model: Any, precision: Precision, slots: int) -> Decoder:
    if model.device.type == "cpu" and LlamaDecoder.fits(model):
        return LlamaDecoder(model, precision, slots)
    return TransformersDecoder(model, slots)


def _end_tokens(model: Any, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = set(configured) if isinstance(configured, list) else {configured}
    ends.add(tokenizer.eos_token_id)
    return frozenset(int(token) for token in ends if token is not None)


def _control_texts(tokenizer: PreTrainedTokenizerFast) -> tuple[str, ...]:
    added = tokenizer.added_tokens_decoder.values()
    texts = {token.content for token in added if token.special and len(token.content) > 1}
    return tuple(sorted(texts, key=len, reverse=True))
