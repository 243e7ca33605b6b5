"""Delivery to the bot: which way, how long to wait, and when to try again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from bot.workspace.directory import Directory
from bot.workspace.errors import NotAcknowledgedError
from bot.workspace.http_delivery import Kind, RequestUrl
from bot.workspace.ids import Clock, new_id
from bot.workspace.live import LiveHub
from bot.workspace.protocol import BotConnection, DeliveryFailed
from bot.workspace.recorder import Recorder
from bot.workspace.records import Json
from bot.workspace.socket_mode import SocketHub

logger = logging.getLogger(__name__)

EVERY_EVENT = frozenset(
    {
        "agent_session_stopped",
        "app_home_opened",
        "app_mention",
        "member_joined_channel",
        "message.channels",
        "message.groups",
        "message.im",
        "message.mpim",
        "reaction_added",
        "reaction_removed",
    }
)
"""Names of bot events, as in a manifest's `settings.event_subscriptions.bot_events`."""

_MESSAGE_SUBSCRIPTIONS = {
    "channel": "message.channels",
    "group": "message.groups",
    "im": "message.im",
    "mpim": "message.mpim",
}
_AIMED_AT_BOT = frozenset({"agent_session_stopped", "app_home_opened", "app_mention"})
_RETRY_REASONS = {"operation_timeout": "http_timeout", "dispatch_failed": "connection_failed"}


@dataclass(frozen=True)
class DeliveryPolicy:
    """How Slack delivers.

    Attributes:
        ack_seconds: how long the bot may take to acknowledge.
        retry_delays: seconds before each redelivery of an event (nothing else is redelivered).
        events: the bot events that the app subscribes to.
    """

    ack_seconds: float = 3.0
    retry_delays: Sequence[float] = (0.0, 60.0, 300.0)
    events: frozenset[str] = EVERY_EVENT


class Delivery:
    """Sends commands, interactions and events to the bot.

    A request URL, when one is set, is used instead of Socket Mode.
    """

    def __init__(
        self,
        directory: Directory,
        live: LiveHub,
        recorder: Recorder,
        clock: Clock,
        policy: DeliveryPolicy,
        verification_token: str,
    ) -> None:
        self._directory = directory
        self._live = live
        self._recorder = recorder
        self._clock = clock
        self.policy = policy
        self.verification_token = verification_token
        self.sockets = SocketHub(directory.bot.app_id, clock, self.tell_connection)
        self._request_url: RequestUrl | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # --- connection ---

    @property
    def connected(self) -> bool:
        """Whether there is a way to the bot."""
        return self._request_url is not None or self.sockets.count > 0

    def use_request_url(self, url: RequestUrl | None) -> None:
        """Delivers over HTTP from now on; None: over Socket Mode."""
        self._request_url = url
        self.tell_connection()

    def tell_connection(self) -> None:
        """Tells all pages whether the bot is reachable."""
        self._live.publish(BotConnection(connected=self.connected))

    async def close(self) -> None:
        """Ends waiting redeliveries and all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sockets.drop()

    async def settle(self) -> None:
        """Waits until nothing is under way to the bot (redeliveries included)."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    # --- commands and interactions ---

    async def ask(
        self, kind: Kind, what: str, payload: Json, *, user: str, channel: str | None = None
    ) -> Json:
        """Delivers once and returns what came with the acknowledgement.

        Args:
            what: for records and for the sentence on the page, e.g. `block_actions`.
            user: whose pages are told when it fails; `channel` is where it was done.

        Raises:
            NotAcknowledgedError: no acknowledgement in time; the user's pages know.
        """
        try:
            return await self._attempt(kind, what, payload)
        except NotAcknowledgedError as error:
            name = payload.get("command", "") if kind == "slash_commands" else ""
            self.tell_failed(what, error.why, user=user, channel=channel, name=str(name))
            raise

    def tell_failed(
        self, what: str, why: str, *, user: str, channel: str | None = None, name: str = ""
    ) -> None:
        """Tells a user's pages that the bot did not take something."""
        sentence = failure_sentence(self._directory.bot.user.real_name, what, why, name)
        event = DeliveryFailed(what=what, why=why, message=sentence, channel=channel)
        self._live.publish(event, [user])

    # --- events ---

    def emit(self, event: Json) -> None:
        """Delivers an event if the app subscribes to it, redelivering when it must."""
        subscription = event["type"]
        if subscription == "message":
            subscription = _MESSAGE_SUBSCRIPTIONS[event["channel_type"]]
        if subscription in self.policy.events:
            self.send_event(event)

    def send_event(self, event: Json) -> str:
        """Delivers any event, subscribed to or not; returns its `event_id`."""
        team = self._directory.team.id
        event_id = new_id("Ev")
        payload: Json = {
            "token": self.verification_token,
            "team_id": team,
            "context_team_id": team,
            "api_app_id": self._directory.bot.app_id,
            "event": event,
            "type": "event_callback",
            "event_id": event_id,
            "event_time": int(self._clock()),
            "authorizations": [
                {
                    "enterprise_id": None,
                    "team_id": team,
                    "user_id": self._directory.bot_user,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": False,
        }
        self._in_background(self._deliver_event(payload))
        return event_id

    async def _deliver_event(self, payload: Json) -> None:
        event = payload["event"]
        reason = ""
        for attempt in range(len(self.policy.retry_delays) + 1):
            if attempt:
                await asyncio.sleep(self.policy.retry_delays[attempt - 1])
            try:
                retry = (attempt, reason) if attempt else None
                await self._attempt("events_api", event["type"], payload, retry)
            except NotAcknowledgedError as error:
                reason = error.why
                if attempt == 0:
                    self._tell_event_failed(event, error.why)
                    if not self.connected:
                        logger.info("Nothing is connected; %s is dropped", event["type"])
                        return
            else:
                return

    def _tell_event_failed(self, event: Json, why: str) -> None:
        direct = event.get("channel_type") == "im" and "bot_id" not in event
        user = event.get("user")
        if isinstance(user, str) and (event["type"] in _AIMED_AT_BOT or direct):
            self.tell_failed(event["type"], why, user=user, channel=event.get("channel"))

    # --- both ---

    async def _attempt(
        self, kind: Kind, what: str, payload: Json, retry: tuple[int, str] | None = None
    ) -> Json:
        started = time.perf_counter()
        at = self._clock()
        transport = "http" if self._request_url else "socket" if self.sockets.count else "none"
        outcome, answer = "cancelled", None
        try:
            answer = await self._send(kind, payload, retry)
            outcome = "acknowledged"
        except NotAcknowledgedError as error:
            outcome = error.why
            raise
        finally:
            self._recorder.delivery(
                at=at,
                transport=transport,
                what=what,
                event_id=payload.get("event_id"),
                attempt=retry[0] if retry else 0,
                latency_ms=(time.perf_counter() - started) * 1_000,
                outcome=outcome,
                response=answer,
            )
        return answer

    async def _send(self, kind: Kind, payload: Json, retry: tuple[int, str] | None) -> Json:
        timeout = self.policy.ack_seconds
        if self._request_url is not None:
            reason = (retry[0], _retry_reason(retry[1])) if retry else None
            return await self._request_url.send(kind, payload, timeout, reason)
        envelope: Json = {
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if retry is not None:
            envelope |= {"retry_attempt": retry[0], "retry_reason": "timeout"}
        return await self.sockets.send(envelope, timeout)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _retry_reason(why: str) -> str:
    return _RETRY_REASONS.get(why, "http_error")


def failure_sentence(bot: str, what: str, why: str, name: str = "") -> str:
    """The sentence that a person reads when the bot did not take something."""
    if what == "command":
        return f'{name} failed with the error "{why}"'
    if what == "view_submission":
        return f"We had some trouble connecting. Try again? ({why})"
    if what in ("message", "app_mention"):
        return f"{bot} did not receive your message ({why})"
    return f"{bot} did not respond ({why})"
