"""GitLab's API, on a small strict server that python-gitlab is served by as well."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import gitlab as python_gitlab
import pytest

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry, OutcomeUnknownError
from integrations.calling import SystemClient
from integrations.gitlab import GitLabIntegration
from integrations.gitlab.actions.pipelines import WaitForPipeline
from integrations.gitlab.actions.scope import Scope
from tests.support.gitlab_api import PROJECT, SHA, TOKEN, SmallGitLab, small_gitlab
from tests.support.intake import attempt
from tests.support.until import until


@asynccontextmanager
async def connected(
    url: str, token: str | None = TOKEN, **settings: Any
) -> AsyncIterator[GitLabIntegration]:
    record = AIIntegration(
        id="gitlab",
        kind="gitlab",
        settings={"url": url, **settings},
        secrets={"token": "TOKEN"} if token else {},
    )
    integration = GitLabIntegration.create(record, Secrets({"TOKEN": token} if token else {}))
    await integration.start()
    yield integration
    await integration.close()


@pytest.fixture
async def server() -> AsyncIterator[SmallGitLab]:
    async with small_gitlab() as running:
        yield running


@pytest.fixture
async def integration(server: SmallGitLab) -> AsyncIterator[GitLabIntegration]:
    async with connected(server.url) as running:
        yield running


def action(integration: GitLabIntegration, name: str) -> Action[Any]:
    return ActionRegistry(integration.actions()).get(name)


PIPELINE = {"project": PROJECT, "pipeline_id": 31}
JOB = {"project": PROJECT, "job_id": 796}
REQUEST = {"project": PROJECT, "number": 7, "sha": SHA}


class TestRetry:
    async def test_runs_what_failed_again(
        self, server: SmallGitLab, integration: GitLabIntegration
    ) -> None:
        retry = action(integration, "gitlab.retry")
        arguments = retry.read(PIPELINE)
        preview = await retry.preview(arguments)
        assert preview is not None
        assert "pipeline 31: failed" in preview
        assert server.effects == []

        result = await retry.execute(arguments, attempt())
        assert result.values["status"] == "running"
        assert result.link == server.pipeline["web_url"]
        assert retry.risk_of(arguments) is Risk.CHANGE
        assert retry.idempotency_of(arguments) is Idempotency.NONE

    @pytest.mark.parametrize("status", ["running", "success", "pending", "manual"])
    async def test_only_what_failed(
        self, server: SmallGitLab, integration: GitLabIntegration, status: str
    ) -> None:
        server.pipeline |= {"status": status}
        retry = action(integration, "gitlab.retry")
        with pytest.raises(ActionError, match=f"is {status}"):
            await retry.execute(retry.read(PIPELINE), attempt())
        assert server.effects == []

    async def test_an_answer_that_is_lost(
        self, server: SmallGitLab, integration: GitLabIntegration
    ) -> None:
        server.drop_after_effect = True
        retry = action(integration, "gitlab.retry")
        with pytest.raises(OutcomeUnknownError):
            await retry.execute(retry.read(PIPELINE), attempt())
        assert len(server.effects) == 1


class TestCancel:
    async def test_cancels_it(self, server: SmallGitLab, integration: GitLabIntegration) -> None:
        server.pipeline |= {"status": "running"}
        cancel = action(integration, "gitlab.cancel")
        arguments = cancel.read(PIPELINE)
        result = await cancel.execute(arguments, attempt())
        again = await cancel.execute(arguments, attempt(repeated=True))
        assert server.pipeline["status"] == "canceled"
        assert len(server.effects) == 1
        assert result.values == again.values
        assert "already" in again.summary


class TestPlay:
    async def test_starts_it_once_however_often_it_is_tried(
        self, server: SmallGitLab, integration: GitLabIntegration
    ) -> None:
        play = action(integration, "gitlab.play")
        arguments = play.read({**JOB, "variables": {"REGION": "eu"}})
        preview = await play.preview(arguments)
        assert preview is not None
        assert "production (stage deploy): manual" in preview
        assert "REGION=eu" in play.describe(arguments)
        long = {**JOB, "variables": {"REGION": "x" * 100 + " and production"}}
        assert "x and production" in (await play.preview(play.read(long)) or "")

        server.drop_after_effect = True
        with pytest.raises(OutcomeUnknownError):
            await play.execute(arguments, attempt())
        server.drop_after_effect = False
        result = await play.execute(arguments, attempt(repeated=True))
        assert "already" in result.summary
        assert server.effects == [
            (
                "POST",
                f"/projects/{PROJECT}/jobs/796/play",
                {"job_variables_attributes": [{"key": "REGION", "value": "eu"}]},
            )
        ]

    async def test_a_job_that_somebody_has_started(
        self, server: SmallGitLab, integration: GitLabIntegration
    ) -> None:
        server.job |= {"status": "running"}
        play = action(integration, "gitlab.play")
        with pytest.raises(ActionError, match="is running"):
            await play.execute(play.read(JOB), attempt())


class TestMerge:
    @pytest.fixture
    def merge(self, integration: GitLabIntegration) -> Action[Any]:
        return action(integration, "gitlab.merge")

    async def test_merges_the_commit_that_was_signed(
        self, server: SmallGitLab, merge: Action[Any]
    ) -> None:
        arguments = merge.read(REQUEST)
        preview = await merge.preview(arguments)
        assert preview is not None
        assert "pipeline: success" in preview
        assert server.effects == []

        result = await merge.execute(arguments, attempt())
        assert server.effects == [
            ("PUT", f"/projects/{PROJECT}/merge_requests/7/merge", {"sha": SHA})
        ]
        assert result.values["merged"] is True
        assert result.values["sha"] == "e" * 40
        again = await merge.execute(arguments, attempt(repeated=True))
        assert again.values == result.values
        assert len(server.effects) == 1

    async def test_an_answer_that_is_lost(self, server: SmallGitLab, merge: Action[Any]) -> None:
        """PUT is repeated by the client; the refusal of the second is not taken for one."""
        server.drop_after_effect = True
        result = await merge.execute(merge.read(REQUEST), attempt())
        assert result.values["merged"] is True

    async def test_as_soon_as_its_pipeline_succeeds(
        self, server: SmallGitLab, merge: Action[Any]
    ) -> None:
        server.request["head_pipeline"]["status"] = "running"
        server.request["detailed_merge_status"] = "ci_still_running"
        with pytest.raises(ActionError, match="is running"):
            await merge.preview(merge.read(REQUEST))
        arguments = merge.read({**REQUEST, "when_pipeline_succeeds": True, "squash": True})
        result = await merge.execute(arguments, attempt())
        again = await merge.execute(arguments, attempt(repeated=True))
        assert result.values["merged"] is False
        assert "will be merged" in again.summary
        ((_, _, body),) = server.effects
        assert body == {
            "sha": SHA,
            "squash": True,
            "auto_merge": True,
            "merge_when_pipeline_succeeds": True,
        }

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"sha": "f" * 40}, f"moved on: its head is {'f' * 40}"),
            ({"draft": True}, "draft"),
            ({"state": "closed"}, "is closed"),
            ({"detailed_merge_status": "conflict"}, "GitLab says conflict"),
            ({"detailed_merge_status": "not_approved"}, "GitLab says not_approved"),
            ({"head_pipeline": None}, "No pipeline has run"),
            ({"head_pipeline": {"id": 1, "sha": SHA, "status": "failed"}}, "is failed"),
            ({"head_pipeline": {"id": 1, "sha": SHA, "status": "canceled"}}, "is canceled"),
            ({"state": "merged", "sha": "f" * 40}, "is merged"),
        ],
    )
    async def test_a_merge_request_that_is_not_what_was_signed(
        self, server: SmallGitLab, merge: Action[Any], change: dict[str, Any], message: str
    ) -> None:
        server.request |= change
        with pytest.raises(ActionError, match=message):
            await merge.execute(merge.read(REQUEST), attempt())
        assert server.effects == []

    async def test_a_pipeline_of_the_merged_result(
        self, server: SmallGitLab, merge: Action[Any]
    ) -> None:
        server.request["head_pipeline"]["sha"] = server.merged_result["id"]
        assert await merge.preview(merge.read(REQUEST))

    async def test_a_pipeline_of_an_older_head(
        self, server: SmallGitLab, merge: Action[Any]
    ) -> None:
        server.request["head_pipeline"]["sha"] = server.merged_result["id"]
        server.merged_result["parent_ids"] = ["c" * 40, "b" * 40]
        with pytest.raises(ActionError, match=f"is of another commit, {'d' * 40}"):
            await merge.execute(merge.read(REQUEST), attempt())
        assert server.effects == []

    async def test_without_a_pipeline_only_where_that_is_said(
        self, server: SmallGitLab, merge: Action[Any]
    ) -> None:
        server.request |= {"head_pipeline": None}
        await merge.execute(merge.read({**REQUEST, "without_pipeline": True}), attempt())
        assert server.request["state"] == "merged"


class TestWait:
    @pytest.fixture
    async def wait(self, server: SmallGitLab) -> AsyncIterator[WaitForPipeline]:
        headers = {"PRIVATE-TOKEN": TOKEN}
        client = SystemClient("gitlab", "GitLab", f"{server.url}/api/v4", headers)
        await client.start()
        yield WaitForPipeline(client, Scope("gitlab", ()), pause_s=0.01)
        await client.close()

    async def test_until_it_succeeds(self, server: SmallGitLab, wait: WaitForPipeline) -> None:
        server.pipeline |= {"status": "running"}
        waiting = asyncio.create_task(wait.execute(wait.read(dict(PIPELINE)), attempt()))
        await until(lambda: len(server.requests) > 2, "it asks again")
        server.pipeline |= {"status": "success"}
        assert (await waiting).values["status"] == "success"

    async def test_one_that_fails(self, server: SmallGitLab, wait: WaitForPipeline) -> None:
        with pytest.raises(ActionError, match="ended as failed: https://"):
            await wait.execute(wait.read(dict(PIPELINE)), attempt())

    async def test_one_that_takes_too_long(
        self, server: SmallGitLab, wait: WaitForPipeline
    ) -> None:
        server.pipeline |= {"status": "manual"}
        arguments = wait.read({**PIPELINE, "timeout_s": 0.5})
        with pytest.raises(ActionError, match=r"not ended in 0\.5 s; it is manual: https://"):
            await wait.execute(arguments, attempt())


Ask = Callable[[Any], object]


@pytest.mark.parametrize(
    ("name", "arguments", "ask"),
    [
        ("gitlab.retry", PIPELINE, lambda p: p.pipelines.get(31).retry()),
        ("gitlab.cancel", PIPELINE, lambda p: p.pipelines.get(31).cancel()),
        ("gitlab.play", JOB, lambda p: p.jobs.get(796).play()),
        ("gitlab.merge", REQUEST, lambda p: p.mergerequests.get(7).merge(sha=SHA)),
    ],
)
async def test_our_requests_are_those_of_python_gitlab(
    name: str, arguments: dict[str, Any], ask: Ask
) -> None:
    async def sent_by(use: Callable[[SmallGitLab], Any]) -> list[tuple[str, str, Any]]:
        async with small_gitlab() as server:
            server.pipeline |= {"status": "running" if name == "gitlab.cancel" else "failed"}
            await use(server)
            return server.requests

    async def ours(server: SmallGitLab) -> None:
        async with connected(server.url) as integration:
            tried = action(integration, name)
            await tried.execute(tried.read(arguments), attempt())

    async def theirs(server: SmallGitLab) -> None:
        def call() -> object:
            client = python_gitlab.Gitlab(server.url, private_token=TOKEN)
            return ask(client.projects.get(PROJECT, lazy=True))

        await asyncio.to_thread(call)

    assert await sent_by(ours) == await sent_by(theirs)


class TestFaults:
    async def test_health(self, server: SmallGitLab, integration: GitLabIntegration) -> None:
        assert (await integration.health()).ready
        async with connected(server.url, "wrong") as other:
            health = await other.health()
        assert not health.ready
        assert "gitlab.yaml" in health.detail

    async def test_without_a_token_the_actions_say_what_is_missing(self) -> None:
        async with connected("https://gitlab.example", None) as integration:
            retry = action(integration, "gitlab.retry")
            with pytest.raises(ActionError, match="add `token: NAME`"):
                await retry.preview(retry.read(PIPELINE))

    async def test_another_project_than_the_allowed(self, server: SmallGitLab) -> None:
        async with connected(server.url, projects=["other/*"]) as integration:
            for name, given in (
                ("gitlab.retry", PIPELINE),
                ("gitlab.cancel", PIPELINE),
                ("gitlab.wait", PIPELINE),
                ("gitlab.play", JOB),
                ("gitlab.merge", REQUEST),
            ):
                tried = action(integration, name)
                with pytest.raises(ActionError, match=r"gitlab\.yaml allows: other/\*"):
                    await tried.execute(tried.read(given), attempt())
        assert server.requests == []

    async def test_a_project_with_its_subgroups(self, server: SmallGitLab) -> None:
        async with connected(server.url, projects=["acme/*"]) as integration:
            retry = action(integration, "gitlab.retry")
            assert await retry.preview(retry.read(PIPELINE))

    async def test_a_pipeline_that_is_not_there(
        self, server: SmallGitLab, integration: GitLabIntegration
    ) -> None:
        retry = action(integration, "gitlab.retry")
        with pytest.raises(ActionError, match="finds no such thing"):
            await retry.preview(retry.read({**PIPELINE, "pipeline_id": 404}))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"project": "shop"},
            {"project": "acme/../shop"},
            {"project": "acme/shop?x"},
            {"project": "/acme/shop"},
            {"pipeline_id": "31/retry"},
            {"surprise": 1},
        ],
    )
    def test_arguments_that_are_not_what_they_should_be(
        self, integration: GitLabIntegration, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
            action(integration, "gitlab.retry").read({**PIPELINE, **wrong})


async def test_one_that_only_takes_webhooks_is_well() -> None:
    record = AIIntegration(id="gitlab", kind="gitlab", secrets={"webhook": "SECRET"})
    integration = GitLabIntegration.create(record, Secrets({"SECRET": "x"}))
    await integration.start()
    health = await integration.health()
    await integration.close()
    assert health.ready
    assert "takes webhooks" in health.detail
