"""What workflows can do in Grafana. Permissions of the service account's token: annotations:read,
annotations:create and dashboards:read, of the folders concerned, and nothing else.

PyPI's `grafana-client` (115 kB, brings niquests with an HTTP stack of its own) is not used: a few
calls are left of it, and the retries and limits would be two kinds.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, NamedTuple
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from core.records import Idempotency, Risk
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionResult,
    OutcomeUnknownError,
)
from core.workflows.definition import Duration, spoken
from core.workflows.pictures import MAX_PICTURE_BYTES, Picture, PictureError
from integrations.calling import SystemClient
from integrations.grafana.payloads import (
    AnnotationMade,
    Annotations,
    Dashboard,
    FrontendSettings,
    Panel,
)
from integrations.text import clip, tidy

_TAG = "countersign"
_DRAWING_S = 45.0  # all attempts together, well below what a step usually has
DashboardUid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
PanelId = Annotated[int, Field(ge=1, le=2**31 - 1)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=80)]


class AnnotateArguments(BaseModel):
    """What is written, and where it is shown.

    Attributes:
        dashboard: the uid in its address (`/d/UID/…`); none: an annotation of the organisation,
            which any dashboard can show by its tags.
        panel: of the dashboard; none: all its panels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1, max_length=2000)
    tags: tuple[Tag, ...] = Field(default=(), max_length=10)
    dashboard: DashboardUid | None = None
    panel: PanelId | None = None


class PanelArguments(BaseModel):
    """Which panel, over which time up to now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dashboard: DashboardUid
    panel: PanelId
    over: Duration = Field(
        default=timedelta(hours=1), ge=timedelta(minutes=1), le=timedelta(days=90)
    )


class GrafanaApi:
    """One Grafana.

    Args:
        renderer: the same Grafana, where it draws: it fails by itself.
        web_url: where people open it.
        dashboards: patterns of uids that actions may touch; none: all that the token can see.
    """

    def __init__(
        self,
        client: SystemClient,
        renderer: SystemClient,
        integration_id: str,
        web_url: str,
        dashboards: tuple[str, ...],
    ) -> None:
        self._client = client
        self._renderer = renderer
        self._file = f"integrations/{integration_id}.yaml"
        self._dashboards = dashboards
        self.web_url = web_url.rstrip("/")

    async def dashboard(self, uid: str) -> Dashboard:
        """The dashboard.

        Raises:
            ActionError: it is not there, or not among those that are allowed.
        """
        if self._dashboards and not any(fnmatchcase(uid, one) for one in self._dashboards):
            raise ActionError(
                f"The dashboard {uid} is not among those that {self._file} allows: "
                f"{', '.join(self._dashboards)}."
            )
        answer = await self._client.get(f"/api/dashboards/uid/{uid}")
        return answer.read(Dashboard)

    def check_organisation(self) -> None:
        """Refuse what every dashboard may show.

        Raises:
            ActionError: only some dashboards are allowed.
        """
        if self._dashboards:
            raise ActionError(
                f"{self._file} allows some dashboards only, so an annotation needs a `dashboard`."
            )

    async def find(self, tag: str) -> int | None:
        """The id of the annotation with that tag."""
        answer = await self._client.get("/api/annotations", {"tags": tag, "limit": "1"})
        found = answer.read(Annotations).root
        return found[0].id if found else None

    async def annotate(self, data: dict[str, JsonValue]) -> int:
        """Write an annotation; return its id. Twice makes two.

        Raises:
            OutcomeUnknownError: it may have been written.
        """
        answer = await self._client.call("POST", "/api/annotations", data=data, idempotent=False)
        try:
            return answer.read(AnnotationMade).id
        except ActionError as error:
            raise OutcomeUnknownError(str(error)) from error

    async def can_render(self) -> bool:
        """Whether the image renderer is there. Without it Grafana draws a placeholder instead."""
        answer = await self._client.get("/api/frontend/settings")
        return answer.read(FrontendSettings).renderer_available

    async def render(self, path: str, query: dict[str, str]) -> bytes:
        """What Grafana draws there, of at most `MAX_PICTURE_BYTES`.

        Raises:
            ActionError: it draws nothing, or takes too long.
        """
        try:
            async with asyncio.timeout(_DRAWING_S):
                answer = await self._renderer.call(
                    "GET",
                    path,
                    params=query,
                    headers={"Accept": "image/png"},
                    max_bytes=MAX_PICTURE_BYTES,
                )
        except TimeoutError as error:
            raise ActionError(f"Grafana drew nothing within {_DRAWING_S:.0f} s.") from error
        return answer.body


class Annotate(Action[AnnotateArguments]):
    """Mark a moment on dashboards. KEYED by a tag of the annotation."""

    name: ClassVar[str] = "grafana.annotate"
    summary: ClassVar[str] = "Mark this moment on Grafana's dashboards"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.KEYED
    arguments = AnnotateArguments

    def __init__(self, api: GrafanaApi) -> None:
        self._api = api

    def describe(self, arguments: AnnotateArguments) -> str:
        """See `Action.describe`."""
        where = f"the dashboard {arguments.dashboard}" if arguments.dashboard else "all dashboards"
        panel = f", panel {arguments.panel}" if arguments.panel else ""
        return f"Mark this moment on {where}{panel}: {clip(arguments.text, 1000)}"

    async def preview(self, arguments: AnnotateArguments) -> str | None:
        """See `Action.preview`. Where it will stand, by name."""
        tags = f"\ntags: {', '.join(clip(tag, 80) for tag in arguments.tags)}"
        where = await self._where(arguments)
        return f"{where}\n{tidy(arguments.text, 2000)}{tags if arguments.tags else ''}"

    async def execute(self, arguments: AnnotateArguments, context: ActionContext) -> ActionResult:
        """See `Action.execute`."""
        where = await self._where(arguments)
        mark = f"{_TAG}:{context.key}"
        found = await self._api.find(mark) if context.repeated else None
        if found is None:
            tags: list[JsonValue] = [
                clip(tag, 80) for tag in arguments.tags if not tag.startswith(f"{_TAG}:")
            ]
            data: dict[str, JsonValue] = {
                "time": round(datetime.now(UTC).timestamp() * 1000),
                "text": tidy(arguments.text, 2000),
                "tags": [*tags, _TAG, mark],
            }
            if arguments.dashboard:
                data["dashboardUID"] = arguments.dashboard
            if arguments.panel:
                data["panelId"] = arguments.panel
            made = await self._api.annotate(data)
        verb = "Marked" if found is None else "Marked already"
        return ActionResult(
            summary=f"{verb} on {where}: {clip(arguments.text, 200)}",
            values={"annotation_id": made if found is None else found},
            link=f"{self._api.web_url}/d/{arguments.dashboard}" if arguments.dashboard else None,
        )

    async def _where(self, arguments: AnnotateArguments) -> str:
        if arguments.dashboard is None:
            if arguments.panel is not None:
                raise ActionError("A panel is of a dashboard: say which, in `dashboard`.")
            self._api.check_organisation()
            return "every dashboard that shows its tags"
        dashboard = await self._api.dashboard(arguments.dashboard)
        title = clip(dashboard.dashboard.title, 200)
        if arguments.panel is None:
            return f"the dashboard {title}"
        return f"the panel {_panel(dashboard, arguments.panel).title} of the dashboard {title}"


class ShowPanel(Action[PanelArguments]):
    """Show a panel: its picture where the image renderer is there, and links to both. NATURAL.

    Values: `title`, `url`, and `image_url` (empty without a renderer). Who opens either needs to
    be signed in to Grafana. Where the picture cannot be had, the output says why.
    """

    name: ClassVar[str] = "grafana.panel"
    summary: ClassVar[str] = "Show a Grafana panel: a link, and its picture"
    risk: ClassVar[Risk] = Risk.READ
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = PanelArguments

    def __init__(self, api: GrafanaApi) -> None:
        self._api = api

    def describe(self, arguments: PanelArguments) -> str:
        """See `Action.describe`."""
        return (
            f"Show the panel {arguments.panel} of the dashboard {arguments.dashboard}, "
            f"the last {spoken(arguments.over)}"
        )

    async def execute(self, arguments: PanelArguments, context: ActionContext) -> ActionResult:  # noqa: ARG002
        """See `Action.execute`."""
        dashboard = await self._api.dashboard(arguments.dashboard)
        panel = _panel(dashboard, arguments.panel)
        end = round(datetime.now(UTC).timestamp() * 1000)
        start = end - round(arguments.over.total_seconds() * 1000)
        time = {"from": str(start), "to": str(end)}
        size = {"panelId": str(arguments.panel), "width": "1000", "height": "500", "tz": "UTC"}
        base = self._api.web_url
        url = f"{base}/d/{arguments.dashboard}?" + urlencode(
            {**time, "viewPanel": str(arguments.panel)}
        )
        title = clip(panel.title, 200) or f"panel {arguments.panel}"
        summary = f"{title}, on the dashboard {clip(dashboard.dashboard.title, 200)}"
        drawn = await self._draw(
            arguments.dashboard, {**time, **size}, f"{summary}, the last {spoken(arguments.over)}"
        )
        output = [f"picture: {drawn.url}"] if drawn.url else []
        if drawn.problem:
            output.append(f"The picture is not shown here. {drawn.problem}")
        return ActionResult(
            summary=summary,
            output="\n".join(output),
            values={"title": title, "url": url, "image_url": drawn.url},
            link=url,
            picture=drawn.picture,
        )

    async def _draw(self, dashboard: str, query: dict[str, str], alt: str) -> _Drawn:
        """The picture, if it can be had; the panel's link is worth having without it, too."""
        url, picture, problem = "", None, ""
        try:
            if await self._api.can_render():
                path = f"/render/d-solo/{dashboard}"
                url = f"{self._api.web_url}{path}?{urlencode(query)}"
                picture = Picture(await self._api.render(path, query), alt)
        except (ActionError, PictureError) as error:
            problem = str(error)
        return _Drawn(url, picture, problem)


class _Drawn(NamedTuple):
    """Where Grafana draws a panel (empty without a renderer), and what came of asking there."""

    url: str
    picture: Picture | None
    problem: str


def _panel(dashboard: Dashboard, panel_id: int) -> Panel:
    panel = dashboard.dashboard.panel(panel_id)
    if panel is None:
        raise ActionError(
            f"The dashboard {clip(dashboard.dashboard.title, 200)} has no panel {panel_id}: its "
            "id is `viewPanel` in the address of the panel's own page."
        )
    return panel
