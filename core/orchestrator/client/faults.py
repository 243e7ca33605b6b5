"""What goes wrong with a model server, as our exceptions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx2
import openai

from core.orchestrator.wire import DEADLINE_CODE
from core.services.ai import (
    DeadlineExceededError,
    ModelNotFoundError,
    OrchestratorBusyError,
    OrchestratorError,
    OrchestratorUnavailableError,
)

_MESSAGE_CHARACTERS = 1000


class ServerNotReachedError(OrchestratorUnavailableError):
    """No connection was made, so the request was not seen and may safely be sent again."""


class BrokenOffError(OrchestratorUnavailableError):
    """The connection ended before the reply did: the server has died, or something in between."""


class ServerFailedError(OrchestratorError):
    """The server failed at a request by a fault of its own (500). Another may do better."""


class Faults:
    """Translates what the `openai` client raises.

    Args:
        server: the server's address, for the messages.
    """

    def __init__(self, server: str) -> None:
        self._server = server

    @contextlib.contextmanager
    def translated(self, deadline_s: float) -> Iterator[None]:
        """Raise `OrchestratorError` or a subclass for each error of the client."""
        late = f"The model server {self._server} did not finish within {deadline_s:g} s."
        try:
            yield
        except (TimeoutError, openai.APITimeoutError) as error:
            raise DeadlineExceededError(late) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            if isinstance(cause, httpx2.ConnectError):
                raise ServerNotReachedError(
                    f"The model server {self._server} cannot be reached: {cause}"
                ) from error
            why = str(cause) or type(cause).__name__
            raise BrokenOffError(f"The model server {self._server} broke off: {why}") from error
        except openai.APIStatusError as error:
            raise self._status_error(error) from error
        except openai.APIError as error:
            if error.code == DEADLINE_CODE:
                raise DeadlineExceededError(late) from error
            kind = OrchestratorError if str(error.code).startswith("4") else ServerFailedError
            raise kind(
                f"The model server {self._server} failed: {error.message[:_MESSAGE_CHARACTERS]}"
            ) from error

    def _status_error(self, error: openai.APIStatusError) -> OrchestratorError:
        message = f"The model server {self._server} says: {server_message(error)}"
        if error.code == DEADLINE_CODE or error.status_code == 504:
            return DeadlineExceededError(message)
        if error.status_code == 429:
            return OrchestratorBusyError(message)
        if error.status_code == 404:
            return ModelNotFoundError(message)
        if error.status_code in (502, 503):
            return OrchestratorUnavailableError(message)
        if error.status_code == 500:
            return ServerFailedError(message)
        if error.status_code in (401, 403):
            return OrchestratorError(message + " Check COUNTERSIGN_ORCHESTRATOR_TOKEN.")
        return OrchestratorError(message)


def server_message(error: openai.APIStatusError) -> str:
    """The server's own sentence, cut to a length that fits a log line."""
    body = error.body
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    if isinstance(said, str) and said:
        return said[:_MESSAGE_CHARACTERS]
    return f"HTTP status {error.status_code}"
