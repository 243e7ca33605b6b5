"""From the text of a reply, piece by piece, to OpenAI's deltas: content and calls of tools."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from core.orchestrator.server.api.tools import CALL, CALL_ARGUMENTS, CALL_END, CALL_NAME
from core.orchestrator.server.engine.jobs import Finished
from core.orchestrator.server.engine.text import overlap

Delta = dict[str, Any]
Reason = Literal["stop", "length", "tool_calls"]


class ContentReader:
    """Of a reply that cannot call: all of it is content."""

    def push(self, text: str) -> list[Delta]:
        """Take text; the deltas that are certain now."""
        return [{"content": text}] if text else []

    def flush(self) -> list[Delta]:
        """The deltas of what was held back, at the end."""
        return []

    def reason(self, end: Finished) -> Reason:
        """Why the reply ended, in OpenAI's words."""
        return end.reason


class CallReader(ContentReader):
    """Of a reply that may call, in the form that `tools.grammar` allows and no other."""

    def __init__(self) -> None:
        self._held = ""
        self._awaited = CALL
        self._calls = 0

    def push(self, text: str) -> list[Delta]:
        """Take text; the deltas that are certain now."""
        self._held += text
        deltas: list[Delta] = []
        while True:
            before, mark, after = self._held.partition(self._awaited)
            if not mark:
                break
            self._held = after
            deltas += self._passed(before)
        if self._awaited != CALL_ARGUMENTS:  # a name is told as a whole
            sure = len(self._held) - overlap(self._held, self._awaited)
            deltas += self._part(self._held[:sure])
            self._held = self._held[sure:]
        return deltas

    def flush(self) -> list[Delta]:
        """The deltas of what was held back: text, or the rest of a call that was cut short."""
        held, self._held = self._held, ""
        return [] if self._awaited == CALL_ARGUMENTS else self._part(held)

    def reason(self, end: Finished) -> Reason:
        """Why the reply ended: `tool_calls` where it called and was not cut short."""
        return "tool_calls" if self._calls and end.reason == "stop" else end.reason

    def _passed(self, before: str) -> list[Delta]:
        """What the text up to the awaited mark means."""
        if self._awaited == CALL:
            self._awaited = CALL_ARGUMENTS
            return self._content(before)
        if self._awaited == CALL_ARGUMENTS:
            self._awaited = CALL_END
            self._calls += 1
            function = {"name": before.removeprefix(CALL_NAME), "arguments": ""}
            identity = f"call_{secrets.token_hex(12)}"
            return [self._call({"id": identity, "type": "function", "function": function})]
        self._awaited = CALL
        return self._arguments(before)

    def _part(self, text: str) -> list[Delta]:
        return self._content(text) if self._awaited == CALL else self._arguments(text)

    def _content(self, text: str) -> list[Delta]:
        # Between two calls is a line break, which is no content.
        return [{"content": text}] if text and not self._calls else []

    def _arguments(self, text: str) -> list[Delta]:
        return [self._call({"function": {"arguments": text}})] if text else []

    def _call(self, part: dict[str, Any]) -> Delta:
        return {"tool_calls": [{"index": self._calls - 1, **part}]}


def whole_message(deltas: list[Delta]) -> dict[str, Any]:
    """The message that the deltas amount to."""
    texts = [delta["content"] for delta in deltas if "content" in delta]
    calls: list[dict[str, Any]] = []
    for delta in deltas:
        for part in delta.get("tool_calls", ()):
            if "id" in part:
                calls.append({key: part[key] for key in ("id", "type")})
                calls[-1]["function"] = dict(part["function"])
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = calls
    return message
