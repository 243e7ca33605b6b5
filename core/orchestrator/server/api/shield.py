"""Break what has a meaning to the model in text from outside, so that nobody can forge it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_WORD_JOINER = "\u2060"


def shield(text: str, markers: Sequence[str]) -> str:
    """The text with an invisible character in each marker; longer markers must come first."""
    for marker in markers:
        if marker in text:
            text = text.replace(marker, marker[0] + _WORD_JOINER + marker[1:])
    return text


def shield_all(value: Any, markers: Sequence[str]) -> Any:
    """The same JSON value with all its strings shielded, keys as well."""
    if isinstance(value, str):
        return shield(value, markers)
    if isinstance(value, list):
        return [shield_all(item, markers) for item in value]
    if isinstance(value, dict):
        return {shield(key, markers): shield_all(item, markers) for key, item in value.items()}
    return value
