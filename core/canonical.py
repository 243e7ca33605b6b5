"""Canonical JSON (RFC 8785, https://www.rfc-editor.org/rfc/rfc8785), and digests over it."""

from __future__ import annotations

import hashlib
import json

import rfc8785
from pydantic import JsonValue

_SAFE = 2**53 - 1


def canonical(value: JsonValue) -> bytes:
    """The canonical form.

    Python's own encoder writes it for all that a plan usually holds, many times faster than the
    library; what they write differently is left to the library.

    Raises:
        ValueError: a number cannot be held exactly, or a text is not Unicode.
    """
    try:
        plain = _plain(value)
    except _UnusualError:
        return rfc8785.dumps(value)
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def canonical_digest(value: JsonValue) -> str:
    """SHA-256 over the canonical form, as `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


class _UnusualError(Exception):
    """The two encoders would not write the same."""


def _plain(value: JsonValue) -> JsonValue:
    """`value` as Python's encoder must have it, integral floats as integers."""
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, dict):
        if not all(key.isascii() for key in value):
            raise _UnusualError  # keys are sorted by UTF-16 there
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if -_SAFE <= value <= _SAFE and value == int(value):
        return int(value)
    raise _UnusualError
