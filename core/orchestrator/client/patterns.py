"""Whether a reply keeps to a regular expression, in bounded time."""

from __future__ import annotations

import regex

from core.services.ai import OrchestratorError

_CHECK_S = 0.2


def check_pattern(pattern: str) -> None:
    """Raise `OrchestratorError` where `pattern` is no regular expression."""
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise OrchestratorError(f"The pattern {pattern!r} cannot be compiled: {error}.") from error


def keeps_to(pattern: str, text: str) -> bool:
    """Whether the whole of `text` matches.

    A pattern with nested repetitions may take exponential time on a text that does not match:
    `re` could not be stopped then, and would hold up the whole process.

    Raises:
        OrchestratorError: that cannot be told in the time that there is.
    """
    try:
        return regex.fullmatch(pattern, text, timeout=_CHECK_S) is not None
    except TimeoutError as error:
        raise OrchestratorError(
            f"Whether the reply keeps to the pattern {pattern!r} cannot be told in {_CHECK_S:g} s: "
            "write it without repetitions inside repetitions."
        ) from error
