"""What Alertmanager posts, and what its API answers.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config (version "4")
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field, RootModel

from integrations.webhooks import Payload

Status = Literal["firing", "resolved"]


class Alert(Payload):
    """One alert of a group. `ends_at` is year 1 while it fires."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: datetime = Field(alias="startsAt")
    ends_at: datetime = Field(alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")
    fingerprint: str = ""


class Group(Payload):
    """One group of alerts that share the labels they are grouped by. Grafana posts these, too."""

    group_key: str = Field(alias="groupKey", min_length=1)
    truncated_alerts: int = Field(default=0, alias="truncatedAlerts")
    status: Status
    receiver: str
    common_labels: dict[str, str] = Field(default_factory=dict, alias="commonLabels")
    common_annotations: dict[str, str] = Field(default_factory=dict, alias="commonAnnotations")
    external_url: str = Field(default="", alias="externalURL")
    alerts: tuple[Alert, ...] = Field(min_length=1)

    @property
    def current(self) -> tuple[Alert, ...]:
        """The alerts that the group's status is about."""
        return tuple(a for a in self.alerts if a.status == self.status) or self.alerts


class AlertGroup(Group):
    """A notification of Alertmanager."""

    version: Literal["4"]


class Matcher(Payload):
    """One condition of a silence."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True)

    name: str
    value: str
    is_regex: bool = Field(alias="isRegex")
    is_equal: bool = Field(default=True, alias="isEqual")

    def __str__(self) -> str:
        operator = {(True, False): "=", (False, False): "!=", (True, True): "=~"}.get(
            (self.is_equal, self.is_regex), "!~"
        )
        return f"{self.name}{operator}{json.dumps(self.value, ensure_ascii=False)}"


class SilenceState(Payload):
    """Whether it mutes now."""

    state: Literal["expired", "active", "pending"]


class Silence(Payload):
    """A silence as the API shows it."""

    id: str
    status: SilenceState
    matchers: tuple[Matcher, ...]
    starts_at: datetime = Field(alias="startsAt")
    ends_at: datetime = Field(alias="endsAt")
    created_by: str = Field(default="", alias="createdBy")
    comment: str = ""


class Silences(RootModel[tuple[Silence, ...]]):
    """`GET /silences`."""


class SilenceMade(Payload):
    """`POST /silences`."""

    silence_id: str = Field(alias="silenceID", pattern=r"^[A-Za-z0-9-]{1,64}$")


class AlertState(Payload):
    """Whether it is told, or why not."""

    state: str
    silenced_by: tuple[str, ...] = Field(default=(), alias="silencedBy")


class ApiAlert(Payload):
    """An alert as the API shows it."""

    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: datetime = Field(alias="startsAt")
    fingerprint: str = ""
    status: AlertState


class ApiAlerts(RootModel[tuple[ApiAlert, ...]]):
    """`GET /alerts`."""
