"""Streamed text is whole characters, and never holds a stop string."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.orchestrator.server.engine.text import IncrementalDecoder, StopScanner
from core.orchestrator.server.models.chat_model import ChatModel


@pytest.mark.parametrize(
    "text",
    [
        "plain words, and  two spaces",
        "你好,世界 — 🚀👩‍👩‍👧‍👦 naïve café",
        "\n\n  indented\n\ttabs\n",
        "ตัวอักษรไทย",
    ],
)
def test_pieces_join_to_the_decoded_text(chat_model: ChatModel, text: str) -> None:
    tokens = chat_model._tokenizer.encode(text)
    decoder = IncrementalDecoder(chat_model.decode)
    pieces = [decoder.push(token) for token in tokens]
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + decoder.flush() == text


def test_a_character_that_is_never_finished_is_shown_as_replacement(chat_model: ChatModel) -> None:
    tokens = chat_model._tokenizer.encode("🚀")
    assert len(tokens) > 1
    decoder = IncrementalDecoder(chat_model.decode)
    assert decoder.push(tokens[0]) == ""
    assert decoder.flush() == "\ufffd"


@given(
    pieces=st.lists(st.text("abc\n", max_size=4), max_size=20),
    stops=st.lists(st.text("abc\n", min_size=1, max_size=4), max_size=3),
)
def test_text_ends_before_the_first_stop_string(pieces: list[str], stops: list[str]) -> None:
    scanner = StopScanner(stops)
    shown, stopped = "", False
    for piece in pieces:
        text, stopped = scanner.push(piece)
        shown += text
        if stopped:
            break
    whole = "".join(pieces)
    if stopped:
        assert any(whole[len(shown) :].startswith(stop) for stop in stops)
    else:
        shown += scanner.flush()
        assert shown == whole
    assert not any(stop in shown for stop in stops)
