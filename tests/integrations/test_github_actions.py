"""GitHub's API: issues on npm's `emulate`; re-runs on a server held to GitHub's own description,
because emulate answers a re-run with a new run instead of a new attempt of the same."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.errors import ConfigurationError, InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, OutcomeUnknownError
from integrations.github import GitHubIntegration
from integrations.github.client import GitHubClient
from tests.support import emulate, github_api
from tests.support.emulate import EmulatedGitHub, emulated_github
from tests.support.github_api import DescribedGitHub, described_github
from tests.support.github_client import action, connected
from tests.support.intake import attempt


@pytest.fixture
async def described() -> AsyncIterator[DescribedGitHub]:
    async with described_github() as github:
        yield github


@pytest.fixture
async def rerun(described: DescribedGitHub) -> AsyncIterator[Action[Any]]:
    async with connected(described.url, github_api.TOKEN) as integration:
        yield action(integration, "github.rerun_workflow")


def first_attempt(github: DescribedGitHub, **more: Any) -> dict[str, Any]:
    return {"repository": github.repository, "run_id": github.run["id"], "attempt": 1, **more}


class TestRerunWorkflow:
    async def test_runs_it_again(self, described: DescribedGitHub, rerun: Action[Any]) -> None:
        arguments = rerun.read(first_attempt(described))
        result = await rerun.execute(arguments, attempt())

        assert described.run["run_attempt"] == 2
        assert result.values["attempt"] == 2
        assert result.link == described.run["html_url"]
        assert rerun.risk_of(arguments) is Risk.CHANGE
        assert rerun.idempotency_of(arguments) is Idempotency.KEYED

    async def test_runs_the_failed_jobs_only(
        self, described: DescribedGitHub, rerun: Action[Any]
    ) -> None:
        arguments = rerun.read(first_attempt(described, failed_jobs_only=True))
        await rerun.execute(arguments, attempt())
        assert [line.rsplit("/", 1)[1] for line in described.effects] == ["rerun-failed-jobs"]

    async def test_a_repeated_attempt_finds_its_own_effect(
        self, described: DescribedGitHub, rerun: Action[Any]
    ) -> None:
        arguments = rerun.read(first_attempt(described))
        described.drop_after_effect = True
        with pytest.raises(OutcomeUnknownError):
            await rerun.execute(arguments, attempt())
        result = await rerun.execute(arguments, attempt(repeated=True))

        assert len(list(described.effects)) == 1
        assert result.values["attempt"] == 2
        assert "already" in result.summary

    async def test_an_answer_that_is_too_large_may_follow_an_effect(
        self, described: DescribedGitHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("integrations.github.client._MAX_BYTES", 1)
        client = GitHubClient("github", described.url, SecretStr(github_api.TOKEN), 10)
        await client.start()
        run = f"/repos/{described.repository}/actions/runs/{described.run['id']}"
        with pytest.raises(OutcomeUnknownError, match="larger than 1 bytes"):
            await client.post(f"{run}/rerun", {}, {})
        with pytest.raises(ActionError, match="larger than 1 bytes"):
            await client.get(run, {})
        await client.close()
        assert described.requests == [f"POST {run}/rerun", f"GET {run}"]

    async def test_a_run_that_still_runs_is_left_alone(
        self, described: DescribedGitHub, rerun: Action[Any]
    ) -> None:
        described.run |= {"status": "in_progress", "conclusion": None}
        with pytest.raises(ActionError, match="in_progress"):
            await rerun.execute(rerun.read(first_attempt(described)), attempt())
        assert list(described.effects) == []

    async def test_an_attempt_that_never_was(
        self, described: DescribedGitHub, rerun: Action[Any]
    ) -> None:
        arguments = rerun.read(first_attempt(described) | {"attempt": 5})
        with pytest.raises(ActionError, match="no attempt 5"):
            await rerun.execute(arguments, attempt())

    async def test_the_preview_shows_the_run_and_changes_nothing(
        self, described: DescribedGitHub, rerun: Action[Any]
    ) -> None:
        preview = await rerun.preview(rerun.read(first_attempt(described)))
        assert preview is not None
        assert described.run["head_sha"] in preview
        assert "failure" in preview
        assert list(described.effects) == []

    @pytest.mark.parametrize(
        ("status", "headers", "body", "message"),
        [
            (
                403,
                {
                    "X-RateLimit-Limit": "60",
                    "X-RateLimit-Remaining": "0",
                    "X-RateLimit-Reset": "1800000000",
                },
                '{"message": "API rate limit exceeded"}',
                "allows more at 08:00 UTC",
            ),
            (429, {"Retry-After": "30"}, '{"message": "slow down"}', "try again in 30 s"),
            (403, {}, '{"message": "Resource not accessible"}', "Resource not accessible"),
            (301, {"Location": "/repositories/1"}, '{"message": "Moved"}', "renamed"),
            (404, {}, '{"message": "Not Found"}', "finds no such thing"),
            (200, {}, "[]", "not a workflow run"),
            (200, {}, "{", "not JSON"),
            (502, {}, "oops", "not JSON"),
            (502, {}, '{"message": "bad gateway"}', "fault of its own"),
        ],
    )
    async def test_every_refusal_says_what_to_do(
        self,
        described: DescribedGitHub,
        rerun: Action[Any],
        status: int,
        headers: dict[str, str],
        body: str,
        message: str,
    ) -> None:
        described.failing = (status, headers, body)
        with pytest.raises(ActionError, match=message):
            await rerun.execute(rerun.read(first_attempt(described)), attempt())

    async def test_another_repository_than_the_allowed(self, described: DescribedGitHub) -> None:
        async with connected(described.url, github_api.TOKEN, repositories=["acme/*"]) as github:
            rerun = action(github, "github.rerun_workflow")
            with pytest.raises(ActionError, match=r"integrations/github\.yaml allows: acme/\*"):
                await rerun.execute(rerun.read(first_attempt(described)), attempt())
        assert described.requests == []

    @pytest.mark.parametrize(
        "wrong",
        [
            {"repository": "acme"},
            {"repository": "acme/.."},
            {"repository": "../shop"},
            {"repository": "acme/shop/actions"},
            {"repository": "acme/shop?x=1"},
            {"run_id": 0},
            {"run_id": "1/rerun"},
            {"attempt": 0},
            {"surprise": 1},
        ],
    )
    def test_arguments_that_are_not_what_they_should_be(
        self, described: DescribedGitHub, rerun: Action[Any], wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
            rerun.read(first_attempt(described) | wrong)


class TestFaults:
    async def test_what_only_looks_is_tried_again(
        self, described: DescribedGitHub, rerun: Action[Any]
    ) -> None:
        described.failing = (502, {}, '{"message": "bad gateway"}')
        with pytest.raises(ActionError):
            await rerun.preview(rerun.read(first_attempt(described)))
        assert len(described.requests) == 3

    async def test_a_github_that_keeps_failing_is_left_alone(
        self, described: DescribedGitHub, rerun: Action[Any]
    ) -> None:
        arguments = rerun.read(first_attempt(described))
        described.failing = (500, {}, '{"message": "oops"}')
        for _ in range(2):
            with pytest.raises(ActionError):
                await rerun.preview(arguments)
        asked = len(described.requests)
        described.failing = None
        with pytest.raises(ActionError, match=r"GitHub has a fault of its own.* left alone for"):
            await rerun.preview(arguments)
        assert len(described.requests) == asked == 5

    async def test_refusals_are_not_faults(
        self, described: DescribedGitHub, rerun: Action[Any]
    ) -> None:
        arguments = rerun.read(first_attempt(described))
        described.failing = (404, {}, '{"message": "Not Found"}')
        for _ in range(6):
            with pytest.raises(ActionError, match="finds no such thing"):
                await rerun.preview(arguments)
        described.failing = None
        assert await rerun.preview(arguments)


async def test_a_wrong_token(described: DescribedGitHub) -> None:
    async with connected(described.url, "wrong") as github:
        rerun = action(github, "github.rerun_workflow")
        with pytest.raises(ActionError, match=r"does not take the token.*github\.yaml"):
            await rerun.execute(rerun.read(first_attempt(described)), attempt())
        assert not (await github.health()).ready


async def test_without_a_token_the_actions_say_what_is_missing() -> None:
    async with connected("https://api.github.com", None) as github:
        rerun = action(github, "github.rerun_workflow")
        arguments = rerun.read({"repository": "acme/shop", "run_id": 1, "attempt": 1})
        with pytest.raises(ActionError, match="add `token: NAME`"):
            await rerun.preview(arguments)


async def test_nobody_answers() -> None:
    async with connected("http://127.0.0.1:9", "token") as github:
        rerun = action(github, "github.rerun_workflow")
        arguments = rerun.read({"repository": "acme/shop", "run_id": 1, "attempt": 1})
        with pytest.raises(ActionError, match="cannot be reached"):
            await rerun.execute(arguments, attempt())


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"secrets": {"token": "NOWHERE"}}, r"secrets\.token: The secret NOWHERE is not set"),
        ({"secrets": {"tokens": "TOKEN"}}, "known: token, webhook"),
        ({"settings": {"api_url": "ftp://x"}}, r"github\.yaml: settings\.api_url"),
        ({"settings": {"api": "https://x"}}, r"settings\.api: Extra inputs"),
    ],
)
def test_a_wrong_configuration(record: dict[str, Any], message: str) -> None:
    integration = AIIntegration(id="github", kind="github", **record)
    with pytest.raises(ConfigurationError, match=message):
        GitHubIntegration.create(integration, Secrets({"TOKEN": "x"}))


class TestCreateIssue:
    @pytest.fixture
    async def github(self, tmp_path: Path) -> AsyncIterator[EmulatedGitHub]:
        async with emulated_github(tmp_path) as running:
            yield running

    async def test_opens_it_once_however_often_it_is_tried(self, github: EmulatedGitHub) -> None:
        repository = await github.create_repository("shop")
        async with connected(github.url, emulate.TOKEN) as integration:
            assert (await integration.health()).ready
            create = action(integration, "github.create_issue")
            arguments = create.read(
                {
                    "repository": repository,
                    "title": "Checkout fails\nsince noon",
                    "body": "See the incident. <!-- countersign:run-9/step-1 -->",
                }
            )
            result = await create.execute(arguments, attempt())
            again = await create.execute(arguments, attempt(repeated=True))
            other = await create.execute(arguments, attempt("run-9/step-1", repeated=True))

        assert again.values == result.values
        assert other.values != result.values  # a marker in somebody's text is not ours
        issues = await github.call("GET", f"/repos/{repository}/issues")
        assert [issue["title"] for issue in issues] == ["Checkout fails since noon"] * 2
        assert result.link in {issue["html_url"] for issue in issues}

    async def test_labels_and_closed_issues(self, github: EmulatedGitHub) -> None:
        repository = await github.create_repository("shop")
        await github.call(
            "POST", f"/repos/{repository}/labels", {"name": "incident", "color": "ff0000"}
        )
        async with connected(github.url, emulate.TOKEN) as integration:
            create = action(integration, "github.create_issue")
            arguments = create.read(
                {"repository": repository, "title": "Down", "labels": ["incident"]}
            )
            number = (await create.execute(arguments, attempt())).values["number"]
            await github.call("PATCH", f"/repos/{repository}/issues/{number}", {"state": "closed"})
            again = await create.execute(arguments, attempt(repeated=True))

        assert again.values["number"] == number
        issue = await github.call("GET", f"/repos/{repository}/issues/{number}")
        assert [label["name"] for label in issue["labels"]] == ["incident"]

    async def test_looks_on_every_page(self, github: EmulatedGitHub) -> None:
        repository = await github.create_repository("shop")
        async with connected(github.url, emulate.TOKEN) as integration:
            create = action(integration, "github.create_issue")
            arguments = create.read({"repository": repository, "title": "The first"})
            first = await create.execute(arguments, attempt())
            for number in range(120):
                await github.call("POST", f"/repos/{repository}/issues", {"title": f"{number}"})
            again = await create.execute(arguments, attempt(repeated=True))
        assert again.values == first.values

    async def test_a_repository_that_is_not_there(self, github: EmulatedGitHub) -> None:
        async with connected(github.url, emulate.TOKEN) as integration:
            create = action(integration, "github.create_issue")
            arguments = create.read({"repository": "admin/nothing", "title": "Down"})
            with pytest.raises(ActionError, match="finds no such thing"):
                await create.execute(arguments, attempt())


async def test_one_that_only_takes_webhooks_is_well() -> None:
    record = AIIntegration(id="github", kind="github", secrets={"webhook": "SECRET"})
    integration = GitHubIntegration.create(record, Secrets({"SECRET": "x"}))
    await integration.start()
    health = await integration.health()
    await integration.close()
    assert health.ready
    assert "takes webhooks" in health.detail
