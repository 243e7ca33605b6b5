"""Annotations and panels, on a stand-in that is strict about what Grafana's HTTP API documents.

Grafana itself is in no package that the tests can install.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry, OutcomeUnknownError
from core.workflows.pictures import MAX_PICTURE_BYTES, Picture
from integrations.calling import RefusedError
from integrations.grafana import GrafanaIntegration
from tests.support.intake import attempt
from tests.support.pictures import png

TOKEN = "glsa_token-for-tests"
DRAWN = png(100, 50, shade=200)
NOBODY = "http://127.0.0.1:9"
_KNOWN = {"dashboardUID", "panelId", "time", "timeEnd", "tags", "text"}


class Grafana:
    """One dashboard, `shop`, with panel 4 and, in a collapsed row, panel 5.

    Without its image renderer it answers with a placeholder, as Grafana does.
    """

    def __init__(self) -> None:
        self.url = ""
        self.annotations: list[dict[str, Any]] = []
        self.renderer = False
        self.broken: web.Response | None = None
        self.drawing = asyncio.Event()
        self.drawing.set()
        self.asked_to_draw: list[dict[str, str]] = []
        self.drop_after_effect = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": "Invalid API key"}, status=401)
        match (request.method, request.path):
            case ("GET", "/api/org"):
                return web.json_response({"id": 1, "name": "Main Org."})
            case ("GET", "/api/frontend/settings"):
                return web.json_response({"rendererAvailable": self.renderer, "apps": {}})
            case ("GET", "/api/dashboards/uid/shop"):
                row = {
                    "id": 9,
                    "type": "row",
                    "title": "More",
                    "panels": [{"id": 5, "title": "CPU"}],
                }
                panels = [{"id": 4, "type": "timeseries", "title": "Requests"}, row]
                return web.json_response(
                    {
                        "dashboard": {"uid": "shop", "title": "Shop", "panels": panels},
                        "meta": {"url": "/d/shop/shop", "folderTitle": "General"},
                    }
                )
            case ("GET", "/render/d-solo/shop"):
                return await self._draw(request)
            case ("GET", "/api/annotations"):
                tags = set(request.query.getall("tags", []))
                found = [one for one in self.annotations if tags <= set(one["tags"])]
                return web.json_response(found[: int(request.query["limit"])])
            case ("POST", "/api/annotations"):
                return await self._annotate(request)
        return web.json_response({"message": "Not found"}, status=404)

    async def _draw(self, request: web.Request) -> web.StreamResponse:
        self.asked_to_draw.append(dict(request.query))
        await self.drawing.wait()
        if self.broken is not None:
            return web.Response(
                status=self.broken.status,
                body=self.broken.body,
                content_type=self.broken.content_type,
            )
        drawn = DRAWN if self.renderer else png(shade=0)
        return web.Response(body=drawn, content_type="image/png")

    async def _annotate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        too_long = any(len(tag) > 200 for tag in body["tags"])
        if not body.get("text") or set(body) - _KNOWN or too_long:
            return web.json_response({"message": "Failed to save annotation"}, status=400)
        self.annotations.append({**body, "id": len(self.annotations) + 1})
        if self.drop_after_effect and request.transport:
            self.drop_after_effect = False
            request.transport.abort()
        return web.json_response({"message": "Annotation added", "id": len(self.annotations)})


@pytest.fixture
async def grafana() -> AsyncIterator[Grafana]:
    api = Grafana()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield api
    await runner.cleanup()


def integration_of(url: str, token: str = TOKEN, **settings: Any) -> GrafanaIntegration:
    record = AIIntegration(
        id="grafana",
        kind="grafana",
        settings={"url": url, **settings},
        secrets={"api_token": "TOKEN"},
    )
    return GrafanaIntegration.create(record, Secrets({"TOKEN": token}))


@asynccontextmanager
async def connected(
    url: str, token: str = TOKEN, **settings: Any
) -> AsyncIterator[GrafanaIntegration]:
    integration = integration_of(url, token, **settings)
    await integration.start()
    yield integration
    await integration.close()


def action(integration: GrafanaIntegration, name: str) -> Action[Any]:
    return ActionRegistry(integration.actions()).get(f"grafana.{name}")


class TestAnnotate:
    async def test_a_panel_once(self, grafana: Grafana) -> None:
        async with connected(grafana.url) as integration:
            annotate = action(integration, "annotate")
            arguments = annotate.read(
                {"text": "deploy of 1.2", "tags": ["deploy"], "dashboard": "shop", "panel": 5}
            )
            preview = await annotate.preview(arguments)
            first = await annotate.execute(arguments, attempt())
            again = await annotate.execute(arguments, attempt(repeated=True))

        assert preview == "the panel CPU of the dashboard Shop\ndeploy of 1.2\ntags: deploy"
        (made,) = grafana.annotations
        assert made["dashboardUID"] == "shop"
        assert made["panelId"] == 5
        assert made["tags"] == ["deploy", "countersign", "countersign:run-1/step-1"]
        assert made["time"] > 1_700_000_000_000
        assert first.values == again.values == {"annotation_id": 1}
        assert first.summary == "Marked on the panel CPU of the dashboard Shop: deploy of 1.2"
        assert again.summary.startswith("Marked already on ")
        assert first.link == f"{grafana.url}/d/shop"

    async def test_every_dashboard(self, grafana: Grafana) -> None:
        async with connected(grafana.url) as integration:
            annotate = action(integration, "annotate")
            await annotate.execute(annotate.read({"text": "x"}), attempt())
        (made,) = grafana.annotations
        assert "dashboardUID" not in made
        assert "panelId" not in made

    async def test_one_that_may_have_been_written_is_looked_for(self, grafana: Grafana) -> None:
        grafana.drop_after_effect = True
        async with connected(grafana.url) as integration:
            annotate = action(integration, "annotate")
            arguments = annotate.read({"text": "x", "dashboard": "shop"})
            with pytest.raises(OutcomeUnknownError):
                await annotate.execute(arguments, attempt())
            await annotate.execute(arguments, attempt(repeated=True))
        assert len(grafana.annotations) == 1

    async def test_tags_from_outside_do_not_pass_for_ours(self, grafana: Grafana) -> None:
        async with connected(grafana.url) as integration:
            annotate = action(integration, "annotate")
            forged = annotate.read({"text": "x", "tags": ["countersign:run-2/step-1"]})
            await annotate.execute(forged, attempt())
            await annotate.execute(
                annotate.read({"text": "y"}), attempt("run-2/step-1", repeated=True)
            )
        assert [one["text"] for one in grafana.annotations] == ["x", "y"]

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"dashboard": "other"}, r"is not among those that integrations/grafana\.yaml allows"),
            ({}, "needs a `dashboard`"),
            ({"dashboard": "shop", "panel": 77}, "has no panel 77"),
            ({"panel": 4}, "say which, in `dashboard`"),
        ],
    )
    async def test_only_where_it_may(
        self, grafana: Grafana, arguments: dict[str, Any], problem: str
    ) -> None:
        async with connected(grafana.url, dashboards=["sh*"]) as integration:
            annotate = action(integration, "annotate")
            refused = annotate.read({"text": "x", **arguments})
            with pytest.raises(ActionError, match=problem):
                await annotate.preview(refused)
            with pytest.raises(ActionError, match=problem):
                await annotate.execute(refused, attempt())
        assert grafana.annotations == []


class TestPanel:
    async def test_links_to_it_where_nothing_is_drawn(self, grafana: Grafana) -> None:
        async with connected(grafana.url, web_url="https://grafana.example/") as integration:
            show = action(integration, "panel")
            arguments = show.read({"dashboard": "shop", "panel": 4, "over": "2h"})
            result = await show.execute(arguments, attempt())

        assert result.summary == "Requests, on the dashboard Shop"
        assert result.values["image_url"] == ""
        assert result.output == ""
        assert str(result.link).startswith("https://grafana.example/d/shop?from=17")
        assert str(result.link).endswith("&viewPanel=4")
        assert result.picture is None
        assert grafana.asked_to_draw == []  # it would have been a placeholder

    async def test_shows_it_where_the_renderer_is_there(self, grafana: Grafana) -> None:
        grafana.renderer = True
        async with connected(grafana.url, web_url="https://grafana.example/") as integration:
            show = action(integration, "panel")
            arguments = show.read({"dashboard": "shop", "panel": 4, "over": "2h"})
            result = await show.execute(arguments, attempt())

        assert result.picture == Picture(DRAWN, "Requests, on the dashboard Shop, the last 2 h")
        (asked,) = grafana.asked_to_draw
        assert int(asked.pop("to")) - int(asked.pop("from")) == 2 * 3600 * 1000
        assert asked == {"panelId": "4", "width": "1000", "height": "500", "tz": "UTC"}
        image = str(result.values["image_url"])
        assert image.startswith("https://grafana.example/render/d-solo/shop?from=17")
        assert "panelId=4&width=1000" in image
        assert result.output == f"picture: {image}"

    @pytest.mark.parametrize(
        ("broken", "problem"),
        [
            (web.Response(status=500, text="no browser"), "answers 500 Internal Server Error"),
            (web.Response(status=403, text="no"), "Give the credential that permission"),
            (web.Response(text="<html>sign in</html>", content_type="text/html"), "is not a PNG"),
            (web.Response(body=png()[:-5], content_type="image/png"), "is cut off"),
            (
                web.Response(body=png(comment=b"x" * MAX_PICTURE_BYTES), content_type="image/png"),
                f"larger than {MAX_PICTURE_BYTES} bytes",
            ),
        ],
        ids=["fault", "forbidden", "page", "cut off", "large"],
    )
    async def test_a_picture_that_cannot_be_had_leaves_the_link_and_the_reason(
        self, grafana: Grafana, broken: web.Response, problem: str
    ) -> None:
        grafana.renderer, grafana.broken = True, broken
        async with connected(grafana.url) as integration:
            show = action(integration, "panel")
            arguments = show.read({"dashboard": "shop", "panel": 5})
            result = await show.execute(arguments, attempt())

        assert result.picture is None
        assert str(result.link).endswith("&viewPanel=5")
        link, why = result.output.split("\n")
        assert link == f"picture: {result.values['image_url']}"
        assert why.startswith("The picture is not shown here. ")
        assert problem in why

    async def test_a_renderer_that_hangs_is_not_waited_for(
        self, grafana: Grafana, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("integrations.grafana.actions._DRAWING_S", 0.2)
        grafana.renderer = True
        grafana.drawing.clear()
        async with connected(grafana.url) as integration:
            show = action(integration, "panel")
            arguments = show.read({"dashboard": "shop", "panel": 4})
            result = await show.execute(arguments, attempt())
        grafana.drawing.set()

        assert result.picture is None
        assert "Grafana drew nothing within" in result.output

    async def test_a_broken_renderer_leaves_the_rest_alone(self, grafana: Grafana) -> None:
        grafana.renderer, grafana.broken = True, web.Response(status=500)
        async with connected(grafana.url) as integration:
            show, annotate = action(integration, "panel"), action(integration, "annotate")
            arguments = show.read({"dashboard": "shop", "panel": 4})
            results = [await show.execute(arguments, attempt()) for _ in range(3)]
            await annotate.execute(annotate.read({"text": "x", "dashboard": "shop"}), attempt())
            assert (await integration.health()).ready

        assert "Grafana's image renderer has failed 5 times in a row" in results[-1].output
        assert len(grafana.annotations) == 1


class TestAccess:
    async def test_health(self, grafana: Grafana) -> None:
        async with connected(grafana.url) as right, connected(grafana.url, "old") as wrong:
            assert (await right.health()).ready
            refused = await wrong.health()
        assert not refused.ready
        assert "renew it" in refused.detail

    async def test_a_dashboard_that_is_not_there(self, grafana: Grafana) -> None:
        async with connected(grafana.url) as integration:
            show = action(integration, "panel")
            with pytest.raises(RefusedError, match="finds no such thing"):
                await show.execute(show.read({"dashboard": "gone", "panel": 1}), attempt())


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": ""},
        {"text": "x" * 2001},
        {"text": "x", "dashboard": "../org"},
        {"text": "x", "dashboard": "a/b"},
        {"text": "x", "panel": 0},
        {"text": "x", "tags": ["t" * 81]},
        {"text": "x", "tags": ["t"] * 11},
    ],
)
def test_arguments_are_limited(arguments: Any) -> None:
    with pytest.raises(InvalidRequestError):
        action(integration_of(NOBODY), "annotate").read(arguments)


def test_what_they_are() -> None:
    assert {one.name: (one.risk, one.idempotency) for one in integration_of(NOBODY).actions()} == {
        "grafana.annotate": (Risk.CHANGE, Idempotency.KEYED),
        "grafana.panel": (Risk.READ, Idempotency.NATURAL),
    }
