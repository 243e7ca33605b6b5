"""The Web API client: one shared session, retries, and errors in our own terms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from core.ports import PresentationError

_TIMEOUT_S = 30
_MENDS = {
    "not_in_channel": "Invite the bot to the channel (/invite).",
    "channel_not_found": "Invite the bot to the channel, or correct its name.",
    "is_archived": "The channel is archived; choose another one.",
    "invalid_auth": "COUNTERSIGN_SLACK_BOT_TOKEN is not valid.",
    "not_authed": "COUNTERSIGN_SLACK_BOT_TOKEN is not set.",
    "token_revoked": "COUNTERSIGN_SLACK_BOT_TOKEN was revoked; install the app again.",
    "missing_scope": "Install the app again with the scopes of `countersign manifest`.",
    "ratelimited": "Slack asks to slow down.",
}
# https://docs.slack.dev/reference/methods/chat.postMessage: some of it may have succeeded.
_UNDECIDED = frozenset(
    {"internal_error", "fatal_error", "request_timeout", "service_unavailable", "unknown_error"}
)


@asynccontextmanager
async def open_client(token: str, base_url: str) -> AsyncIterator[AsyncWebClient]:
    """A client with one session for all calls, which is 2.5 times faster than one for each.

    Args:
        token: the bot token.
        base_url: ends in `/`.
    """
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield AsyncWebClient(
            token=token,
            base_url=base_url,
            session=session,
            timeout=_TIMEOUT_S,
            retry_handlers=[
                AsyncConnectionErrorRetryHandler(),
                AsyncRateLimitErrorRetryHandler(max_retry_count=2),
                AsyncServerErrorRetryHandler(),
            ],
        )


def unrepeated(client: AsyncWebClient) -> AsyncWebClient:
    """The same client for calls that must not be repeated blindly: a lost answer to a post does
    not mean that it was not posted. Only a refusal for the rate is tried again."""
    return AsyncWebClient(
        token=client.token,
        base_url=client.base_url,
        session=client.session,
        timeout=client.timeout,
        retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=2)],
    )


@contextmanager
def slack_errors(what: str) -> Iterator[None]:
    """Turn the client's errors into `PresentationError`.

    Args:
        what: what was tried, such as `post in #deploys`.
    """
    try:
        yield
    except SlackApiError as error:
        code = error_code(error)
        mend = _MENDS.get(code, "")
        raise PresentationError(f"Slack refused to {what}: {code}. {mend}".strip()) from error
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise PresentationError(
            f"Slack cannot be reached to {what} ({type(error).__name__})."
        ) from error


def payload(answer: AsyncSlackResponse) -> dict[str, Any]:
    """The answer's JSON object."""
    return answer.data if isinstance(answer.data, dict) else {}


def refusal(error: PresentationError) -> str | None:
    """Slack's error code, where Slack refused; None where it may have been done all the same."""
    cause = error.__cause__
    if not isinstance(cause, SlackApiError):
        return None
    code = error_code(cause)
    return None if code in _UNDECIDED or code.startswith("http_status_5") else code


def error_code(error: SlackApiError) -> str:
    """Slack's error code, such as `channel_not_found`, or `http_status_502`."""
    response = error.response
    if isinstance(response, AsyncSlackResponse) and isinstance(response.data, dict):
        return str(response.data.get("error", "unknown_error"))
    status = getattr(response, "status_code", None) or getattr(response, "status", "unknown")
    return f"http_status_{status}"
