"""What the workspace refuses, as exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import CountersignError


class WorkspaceError(CountersignError):
    """Something is wrong with the workspace's own set-up; the message says how to mend it."""


class StorageError(WorkspaceError):
    """The storage file cannot be used; the message names it and the mend."""


class MethodError(CountersignError):
    """A Web API method answers `{"ok": false, "error": code}` with HTTP 200, as Slack does.

    Attributes:
        code: Slack's error code, e.g. `channel_not_found`.
        messages: details, sent as `response_metadata.messages`.
        extra: further fields of the answer.
    """

    def __init__(self, code: str, messages: Sequence[str] = (), **extra: Any) -> None:
        super().__init__(code)
        self.code = code
        self.messages = tuple(messages)
        self.extra = extra


class PageError(CountersignError):
    """A request of the page (or of `/dev/`) is answered with a 4xx status.

    Attributes:
        status: HTTP status.
        error: a short code, e.g. `no_such_channel`.
    """

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


class NotAcknowledgedError(CountersignError):
    """The bot did not acknowledge a delivery.

    Attributes:
        why: `operation_timeout`, `dispatch_failed`, `http_status_…` or `bad_response`.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"The bot did not acknowledge: {why}")
        self.why = why
