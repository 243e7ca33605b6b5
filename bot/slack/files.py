"""Files in threads: long texts that a message has no room for, and pictures.

https://docs.slack.dev/messaging/working-with-files#uploading_files: an address is asked for, the
bytes go there, and the file is then shown in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.client import slack_errors
from core.ports import PostedMessage, PresentationError
from core.records import Place

_TIMEOUT_S = 60
_OK = 200


@dataclass(frozen=True)
class ThreadFile:
    """What is shown as a file.

    Attributes:
        name: of the file; no other file of ours has it, so that it is found again by it.
        media_type: such as `text/plain`.
        comment: what is said with it; our own words, because Slack reads it as mrkdwn.
        alt: what a picture shows, in words; plain text. None where it is no picture.
    """

    name: str
    data: bytes
    media_type: str
    comment: str
    alt: str | None = None

    def stands_in(self, message: dict[str, Any]) -> bool:
        """Whether a message of a thread shows this file."""
        return any(file.get("name") == self.name for file in message.get("files") or [])


async def upload(client: AsyncWebClient, place: Place, file: ThreadFile) -> PostedMessage:
    """Show a file in a thread. Slack does not say which message shows it: the thread is returned.

    Raises:
        PresentationError: it could not be shown now.
    """
    with slack_errors("upload a file"):
        asked = await client.files_getUploadURLExternal(
            filename=file.name, length=len(file.data), alt_txt=file.alt
        )
        await _send(str(asked["upload_url"]), file)
        await client.files_completeUploadExternal(
            files=[{"id": str(asked["file_id"]), "title": file.name}],
            channel_id=place.channel,
            thread_ts=place.thread,
            initial_comment=file.comment,
        )
    thread = place.thread or ""
    return PostedMessage(channel=place.channel, message=thread, thread=thread)


async def _send(url: str, file: ThreadFile) -> None:
    """Without our token: the address itself is the permission."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=file.data, headers={"Content-Type": file.media_type}) as answer,
    ):
        if answer.status != _OK:
            raise PresentationError(f"Slack did not take a file: HTTP {answer.status}.")
