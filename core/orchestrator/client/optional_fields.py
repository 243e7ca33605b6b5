"""Fields of a request that a server may refuse: then it is asked without them from then on.

`priority` is vLLM's, which may refuse it unless it runs with `--scheduling-policy priority`;
`stream_options.include_queue_place` is our own server's.
"""

from __future__ import annotations

from typing import Any

import openai

from core.services.ai import Priority

_PRIORITY = "priority"
_PLACE = "include_queue_place"
_BACKGROUND = 10  # lower goes first, and 0 is what no field at all means


class OptionalFields:
    """What one server takes."""

    def __init__(self) -> None:
        self._refused: set[str] = set()

    def of(self, priority: Priority, *, place: bool) -> dict[str, Any]:
        """The fields for a request; `place` asks for the place in the queue."""
        fields: dict[str, Any] = {}
        if priority == "background" and _PRIORITY not in self._refused:
            fields[_PRIORITY] = _BACKGROUND
        if place and _PLACE not in self._refused:
            fields["stream_options"] = {_PLACE: True}
        return fields

    def refused(self, fields: dict[str, Any], error: openai.APIError) -> bool:
        """Whether the error is about one of `fields`, which are not sent again then."""
        if isinstance(error, openai.APIStatusError) and error.status_code not in (400, 422):
            return False
        sent = {_PRIORITY} & fields.keys() | ({_PLACE} if "stream_options" in fields else set())
        named = {name for name in sent if name in str(error.body or error.message)}
        self._refused |= named
        return bool(named)
