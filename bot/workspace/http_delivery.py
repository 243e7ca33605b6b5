"""Signed HTTP delivery to the bot's request URL.

https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import json
import time
from typing import Literal
from urllib.parse import urlencode

import aiohttp
from pydantic import SecretStr
from slack_sdk.signature import SignatureVerifier

from bot.workspace.errors import NotAcknowledgedError
from bot.workspace.records import Json

Kind = Literal["events_api", "slash_commands", "interactive"]

_ANSWER_LIMIT = 1024 * 1024


class RequestUrl:
    """The bot's one HTTP endpoint.

    Args:
        url: where everything is posted.
        secret: the signing secret.
    """

    def __init__(self, url: str, secret: SecretStr, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._verifier = SignatureVerifier(secret.get_secret_value())
        self._session = session

    async def send(
        self, kind: Kind, payload: Json, timeout: float, retry: tuple[int, str] | None = None
    ) -> Json:
        """Posts a payload and waits for the answer.

        Args:
            kind: events go as JSON, commands as form fields, the rest as the field `payload`.
            timeout: seconds.
            retry: number and reason of a redelivery.

        Returns:
            The answer's body; `{"text": …}` for plain text, `{}` for an empty one.

        Raises:
            NotAcknowledgedError: `operation_timeout`, `dispatch_failed` (nothing listens),
                `http_status_…` or `bad_response` (not JSON, or over 1 MiB).
        """
        if kind == "events_api":
            body, content_type = json.dumps(payload), "application/json"
        else:
            fields = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
            body, content_type = urlencode(fields), "application/x-www-form-urlencoded"
        timestamp = str(int(time.time()))
        signature = self._verifier.generate_signature(timestamp=timestamp, body=body)
        headers = {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (workspace)",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": str(signature),
        }
        if retry is not None:
            headers |= {"X-Slack-Retry-Num": str(retry[0]), "X-Slack-Retry-Reason": retry[1]}
        try:
            async with self._session.post(
                self.url,
                data=body.encode(),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                raw = await response.content.read(_ANSWER_LIMIT + 1)
                while len(raw) <= _ANSWER_LIMIT and (more := await response.content.readany()):
                    raw += more
                if not 200 <= response.status < 300:
                    raise NotAcknowledgedError(f"http_status_{response.status}")
                return _read(raw, response.content_type)
        except TimeoutError as error:
            raise NotAcknowledgedError("operation_timeout") from error
        except aiohttp.ClientError as error:
            raise NotAcknowledgedError("dispatch_failed") from error


def _read(raw: bytes, content_type: str) -> Json:
    if len(raw) > _ANSWER_LIMIT:
        raise NotAcknowledgedError("bad_response")
    try:
        text = raw.decode()
        if not text.strip():
            return {}
        if content_type != "application/json":
            return {"text": text}
        value = json.loads(text)
    except ValueError as error:
        raise NotAcknowledgedError("bad_response") from error
    if not isinstance(value, dict):
        raise NotAcknowledgedError("bad_response")
    return value
