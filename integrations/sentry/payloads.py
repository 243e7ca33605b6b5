"""What Sentry posts, as far as we use it.

https://docs.sentry.io/organization/integrations/integration-platform/webhooks/
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from integrations.webhooks import Payload

Id = Annotated[str, Field(min_length=1, max_length=100, coerce_numbers_to_str=True)]
"""Sentry writes ids as text in some places and as numbers in others."""


_API = re.compile(r"/api/0/projects/[^/]{1,100}/([^/]{1,100})/events/")


class Named(Payload):
    """A project or an actor."""

    name: str | None = None
    slug: str | None = None


class Issue(Payload):
    """A group of errors."""

    id: Id
    short_id: str = Field(default="", alias="shortId")
    title: str = ""
    culprit: str | None = None
    level: str = ""
    status: str = ""
    substatus: str | None = None
    platform: str | None = None
    priority: str | None = None
    category: str = Field(default="", alias="issueCategory")
    project: Named | None = None
    web_url: str | None = None
    count: str = Field(default="", coerce_numbers_to_str=True)
    user_count: int = Field(default=0, alias="userCount", ge=0, le=2**53 - 1)


class ErrorEvent(Payload):
    """One error."""

    event_id: str = ""
    issue_id: Id
    title: str = ""
    culprit: str | None = None
    level: str = ""
    platform: str | None = None
    release: str | None = None
    url: str = ""
    web_url: str | None = None
    tags: tuple[tuple[str, str | None], ...] = ()

    @property
    def project_slug(self) -> str:
        """The project's name: of an error, only its API address says it."""
        found = _API.search(self.url)
        return found[1] if found else ""

    def tag(self, name: str) -> str | None:
        """The value of a tag."""
        return next((value for key, value in self.tags if key == name), None)


class AlertRule(Payload):
    """What a metric alert watches."""

    name: str = ""
    query: str | None = None
    aggregate: str | None = None
    environment: str | None = None


class MetricAlert(Payload):
    """A metric that crossed a threshold."""

    id: Id
    alert_rule: AlertRule
    projects: tuple[str, ...] = ()


class Data(Payload):
    """One of the four, by what happened; nothing of these for what we do not use."""

    issue: Issue | None = None
    error: ErrorEvent | None = None
    event: ErrorEvent | None = None
    metric_alert: MetricAlert | None = None
    triggered_rule: str | None = None
    description_text: str | None = None
    description_title: str | None = None
    web_url: str | None = None


class Delivery(Payload):
    """The body of a webhook."""

    action: str
    data: Data
    actor: Named | None = None
