"""Grammar-constrained decoding with llguidance: a regex, JSON of a schema."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from transformers import PreTrainedTokenizerFast

_CACHED_GRAMMARS = 256
_MAX_GRAMMAR_CHARACTERS = 200_000
_LARGEST_NUMBER = 10**15 - 1
_SMALLEST_NUMBER = 1e-6


class GrammarError(Exception):
    """The schema or pattern cannot be compiled, or no token continues it; says why."""


class Constraint:
    """The state of one constrained reply. Every token must be passed to `accept`."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        return bool(self._matcher.validate_tokens([token]) == 1)

    def forbidden(self) -> torch.Tensor:
        """Tokens that may not come next: bool, shape (vocabulary,)."""
        allowed = self._matcher.compute_logit_bias()
        self._check()
        return torch.frombuffer(bytearray(allowed), dtype=torch.uint8) == 0

    def accept(self, token: int) -> None:
        """Go on by one token."""
        self._matcher.consume_token(token)
        self._check()

    def forced(self) -> list[int]:
        """Tokens that must come next whatever the model says; they cost no decoding step."""
        return list(self._matcher.compute_ff_tokens())

    @property
    def finished(self) -> bool:
        """True where nothing can follow."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarError(str(self._matcher.get_error()))


class GrammarCompiler:
    """Compiles grammars for one tokenizer, and keeps the last ones. Thread-safe."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, vocabulary: int, ends: Sequence[int]
    ) -> None:
        self._tokenizer: LLTokenizer = from_tokenizer(
            tokenizer, n_vocab=vocabulary, eos_token=list(ends)
        )
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def regex(self, pattern: str) -> Constraint:
        """The reply matches `pattern` as a whole: Rust's syntax, so without look-around."""
        return self._constraint(LLMatcher.grammar_from_regex(pattern))

    def json_schema(self, schema: dict[str, Any]) -> Constraint:
        """The reply is JSON of `schema`, without white space between its parts.

        Numbers that the schema does not bound have at most 15 digits before the point and 6 after.
        """
        # Free white space is where a small model loses itself, and digits without end.
        try:
            grammar = LLMatcher.grammar_from_json_schema(
                _with_bounded_numbers(schema), overrides={"whitespace_flexible": False}
            )
        except ValueError as error:
            raise GrammarError(str(error)) from error
        return self._constraint(grammar)

    def lark(self, grammar: str) -> Constraint:
        """The reply satisfies a grammar in llguidance's Lark dialect."""
        return self._constraint(LLMatcher.grammar_from_lark(grammar))

    def _constraint(self, grammar: str) -> Constraint:
        if len(grammar) > _MAX_GRAMMAR_CHARACTERS:
            raise GrammarError(f"the grammar is longer than {_MAX_GRAMMAR_CHARACTERS} characters")
        with self._lock:
            matcher = self._compiled.get(grammar)
            if matcher is not None:
                self._compiled.move_to_end(grammar)
                return Constraint(matcher.deep_copy())
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise GrammarError(str(matcher.get_error()).strip()[:1000])
        with self._lock:
            self._compiled[grammar] = matcher
            while len(self._compiled) > _CACHED_GRAMMARS:
                self._compiled.popitem(last=False)
            return Constraint(matcher.deep_copy())


def inline_json(schema: dict[str, Any]) -> str:
    """JSON of `schema` as `GrammarCompiler.json_schema` allows it, inside a Lark grammar."""
    options = {"x-guidance": {"whitespace_flexible": False}}
    return f"%json {json.dumps(_with_bounded_numbers(schema) | options)}"


def _with_bounded_numbers(node: Any) -> Any:
    """The same schema with fewer numbers."""
    if isinstance(node, list):
        return [_with_bounded_numbers(item) for item in node]
    if not isinstance(node, dict):
        return node
    bounded = {key: _with_bounded_numbers(value) for key, value in node.items()}
    kind = node.get("type")
    if kind in ("number", "integer"):
        if kind == "number":
            bounded.setdefault("multipleOf", _SMALLEST_NUMBER)
        if "exclusiveMinimum" not in node:
            bounded.setdefault("minimum", -_LARGEST_NUMBER)
        if "exclusiveMaximum" not in node:
            bounded.setdefault("maximum", _LARGEST_NUMBER)
    return bounded
