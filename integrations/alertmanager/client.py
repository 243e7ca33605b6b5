"""Alertmanager's API, version 2, as far as the actions need it.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote

from pydantic import JsonValue

from core.workflows.actions import ActionError, OutcomeUnknownError
from integrations.alertmanager.payloads import (
    ApiAlert,
    ApiAlerts,
    Matcher,
    Silence,
    SilenceMade,
    Silences,
)
from integrations.calling import SystemClient


class AlertmanagerApi:
    """One Alertmanager.

    Args:
        web_url: where people open it.
    """

    def __init__(self, client: SystemClient, web_url: str) -> None:
        self.client = client
        self._web_url = web_url.rstrip("/")

    async def alerts(self, matchers: Iterable[Matcher], *, silenced: bool) -> list[ApiAlert]:
        """The alerts that fire and that all of `matchers` match, the longest firing first.

        Args:
            silenced: with those that are silenced already.
        """
        path = f"/api/v2/alerts?active=true&inhibited=true&silenced={str(silenced).lower()}"
        answer = await self.client.get(path + _filters(matchers))
        return sorted(answer.read(ApiAlerts).root, key=lambda alert: alert.starts_at)

    async def silences(self) -> tuple[Silence, ...]:
        """All silences, with those that ended in the last days."""
        answer = await self.client.get("/api/v2/silences")
        return answer.read(Silences).root

    async def silence(self, silence_id: str) -> Silence:
        """One silence."""
        answer = await self.client.get(f"/api/v2/silence/{quote(silence_id, safe='')}")
        return answer.read(Silence)

    async def create(
        self,
        matchers: Iterable[Matcher],
        start: datetime,
        end: datetime,
        created_by: str,
        comment: str,
    ) -> str:
        """Make a silence; return its id. Made twice, it would be two.

        Raises:
            OutcomeUnknownError: it may have been made.
        """
        wanted: list[JsonValue] = [matcher.model_dump(by_alias=True) for matcher in matchers]
        data: JsonValue = {
            "matchers": wanted,
            "startsAt": start.isoformat(),
            "endsAt": end.isoformat(),
            "createdBy": created_by,
            "comment": comment,
        }
        answer = await self.client.call("POST", "/api/v2/silences", data=data, idempotent=False)
        try:
            return answer.read(SilenceMade).silence_id
        except ActionError as error:
            raise OutcomeUnknownError(str(error)) from error

    async def expire(self, silence_id: str) -> None:
        """End a silence."""
        await self.client.call("DELETE", f"/api/v2/silence/{quote(silence_id, safe='')}")

    def link(self, silence_id: str) -> str:
        """The silence's page."""
        return f"{self._web_url}/#/silences/{quote(silence_id, safe='')}"


def _filters(matchers: Iterable[Matcher]) -> str:
    return "".join(f"&filter={quote(str(matcher), safe='')}" for matcher in matchers)
