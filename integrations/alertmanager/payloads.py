"""What Alertmanager posts.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config (version "4")
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

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


class AlertGroup(Payload):
    """A notification: one group of alerts that share the labels they are grouped by."""

    version: Literal["4"]
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
