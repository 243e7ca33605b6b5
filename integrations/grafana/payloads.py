"""What Grafana posts and answers, as far as we use it.

https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
https://grafana.com/docs/grafana/latest/developers/http_api/annotations/
https://grafana.com/docs/grafana/latest/developers/http_api/dashboard/
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, RootModel

from integrations.alertmanager.payloads import Alert, Group
from integrations.webhooks import Payload


class GrafanaAlert(Alert):
    """An alert, with where to look at it and what was measured."""

    dashboard_url: str = Field(default="", alias="dashboardURL")
    panel_url: str = Field(default="", alias="panelURL")
    silence_url: str = Field(default="", alias="silenceURL")
    image_url: str = Field(default="", alias="imageURL")
    values: dict[str, float | None] | None = None


class GrafanaGroup(Group):
    """A notification of Grafana Alerting: as Alertmanager's, and more."""

    version: Literal["1"]
    org_id: int = Field(default=1, alias="orgId", ge=0, le=2**53 - 1)
    alerts: tuple[GrafanaAlert, ...] = Field(min_length=1)


class AnnotationMade(Payload):
    """`POST /api/annotations`."""

    id: int


class Annotations(RootModel[tuple[AnnotationMade, ...]]):
    """`GET /api/annotations`."""


class Panel(Payload):
    """A panel of a dashboard; a collapsed row holds panels."""

    id: int = 0
    title: str = ""
    type: str = ""
    panels: tuple[Panel, ...] = ()


class DashboardModel(Payload):
    """A dashboard's own JSON."""

    uid: str
    title: str = ""
    panels: tuple[Panel, ...] = ()

    def panel(self, panel_id: int) -> Panel | None:
        """The panel of that id, in rows, too."""
        every = [inner for outer in self.panels for inner in (outer, *outer.panels)]
        return next((panel for panel in every if panel.id == panel_id), None)


class DashboardMeta(Payload):
    """Where a dashboard is."""

    url: str = ""
    folder_title: str = Field(default="", alias="folderTitle")


class Dashboard(Payload):
    """`GET /api/dashboards/uid/{uid}`."""

    dashboard: DashboardModel
    meta: DashboardMeta


class FrontendSettings(Payload):
    """`GET /api/frontend/settings`."""

    renderer_available: bool = Field(default=False, alias="rendererAvailable")
