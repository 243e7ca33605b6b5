"""What changes code and deployments on GitHub, on a server held to GitHub's own descriptions."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk
from core.workflows.actions import Action, ActionError, OutcomeUnknownError
from integrations.github import GitHubIntegration
from integrations.github.actions.runs import WaitForRun
from integrations.github.actions.scope import Scope
from integrations.github.client import GitHubClient
from tests.support.github_api import TOKEN, DescribedGitHub, described_github, example
from tests.support.github_client import action, connected
from tests.support.intake import attempt
from tests.support.until import until

WHERE = "octocat/Hello-World"
REPO = f"/repos/{WHERE}"
SHA = "6dcb09b5b57875f334f61aebed695e2e4193db5e"


@pytest.fixture
async def described() -> AsyncIterator[DescribedGitHub]:
    async with described_github() as running:
        yield running


@pytest.fixture
async def github(described: DescribedGitHub) -> AsyncIterator[GitHubIntegration]:
    async with connected(described.url, TOKEN) as integration:
        yield integration


class PullRequest:
    """One open pull request on the server, with one check run and one commit status."""

    def __init__(self, server: DescribedGitHub) -> None:
        self.pull: dict[str, Any] = example("pull-request")
        self.pull |= {"state": "open", "merged": False, "draft": False, "requested_teams": []}
        self.pull["head"]["sha"] = SHA
        (self.check,) = example("check-run-paginated")["check_runs"]
        self.check |= {"head_sha": SHA, "status": "completed", "conclusion": "success"}
        self.statuses: dict[str, Any] = example("combined-commit-status")
        del self.statuses["statuses"][1:]
        self.merges: list[dict[str, Any]] = []
        self.number = self.pull["number"]
        server.answers[f"GET {REPO}/pulls/{self.number}"] = lambda _: (200, self.pull)
        server.answers[f"GET {REPO}/commits/{SHA}/status"] = lambda _: (200, self.statuses)
        server.answers[f"GET {REPO}/commits/{SHA}/check-runs"] = self._checks
        server.answers[f"PUT {REPO}/pulls/{self.number}/merge"] = self._merge

    def _checks(self, _body: Any) -> tuple[int, Any]:
        runs = [self.check] if self.check else []
        return 200, {"total_count": len(runs), "check_runs": runs}

    def _merge(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.merges.append(body)
        if self.pull["merged"]:
            return 405, {"message": "Pull Request is not mergeable"}
        if body["sha"] != self.pull["head"]["sha"]:
            return 409, {"message": "Head branch was modified. Review and try the merge again."}
        self.pull |= {"state": "closed", "merged": True, "merge_commit_sha": "e" * 40}
        return 200, {"sha": "e" * 40, "merged": True, "message": "Pull Request merged"}


@pytest.fixture
def pull(described: DescribedGitHub) -> PullRequest:
    return PullRequest(described)


class TestMerge:
    @pytest.fixture
    def merge(self, github: GitHubIntegration) -> Action[Any]:
        return action(github, "github.merge")

    def arguments(self, pull: PullRequest, **more: Any) -> dict[str, Any]:
        return {"repository": WHERE, "number": pull.number, "sha": SHA, **more}

    async def test_merges_the_commit_that_was_signed(
        self, merge: Action[Any], pull: PullRequest
    ) -> None:
        arguments = merge.read(self.arguments(pull, method="squash"))
        preview = await merge.preview(arguments)
        assert preview is not None
        assert pull.pull["title"] in preview
        assert "checks: 2 success" in preview
        assert pull.merges == []

        result = await merge.execute(arguments, attempt())
        assert pull.merges == [{"sha": SHA, "merge_method": "squash"}]
        assert result.values["sha"] == "e" * 40
        assert merge.risk_of(arguments) is Risk.CHANGE
        assert merge.idempotency_of(arguments) is Idempotency.KEYED

    async def test_a_repeated_attempt_finds_it_merged(
        self, described: DescribedGitHub, merge: Action[Any], pull: PullRequest
    ) -> None:
        arguments = merge.read(self.arguments(pull))
        described.drop_after_effect = True
        with pytest.raises(OutcomeUnknownError):
            await merge.execute(arguments, attempt())
        asked = len(pull.merges)
        result = await merge.execute(arguments, attempt(repeated=True))
        assert len(pull.merges) == asked
        assert "already" in result.summary
        assert result.values["sha"] == "e" * 40

    async def test_a_refusal_because_the_merge_was_done_is_none(
        self, described: DescribedGitHub, merge: Action[Any], pull: PullRequest
    ) -> None:
        """As when the HTTP client has to send it a second time."""
        path = f"PUT {REPO}/pulls/{pull.number}/merge"
        once = described.answers[path]
        described.answers[path] = lambda body: (once(body), once(body))[1]
        result = await merge.execute(merge.read(self.arguments(pull)), attempt())
        assert result.values["sha"] == "e" * 40

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"head": {"ref": "x", "sha": "f" * 40}}, f"moved on: its head is {'f' * 40}"),
            ({"draft": True}, "draft"),
            ({"state": "closed"}, "is closed"),
            ({"state": "closed", "merged": True, "head": {"ref": "x", "sha": "f" * 40}}, "closed"),
        ],
    )
    async def test_a_pull_request_that_is_not_what_was_signed(
        self, merge: Action[Any], pull: PullRequest, change: dict[str, Any], message: str
    ) -> None:
        for name, value in change.items():
            pull.pull[name] = {**pull.pull[name], **value} if name == "head" else value
        with pytest.raises(ActionError, match=message):
            await merge.execute(merge.read(self.arguments(pull)), attempt())
        assert pull.merges == []

    @pytest.mark.parametrize(
        ("status", "conclusion", "message"),
        [
            ("completed", "failure", "1 failure, 1 success"),
            ("completed", "cancelled", "1 cancelled"),
            ("in_progress", None, "1 in_progress"),
            ("queued", None, "1 queued"),
        ],
    )
    async def test_a_check_that_has_not_passed(
        self,
        merge: Action[Any],
        pull: PullRequest,
        status: str,
        conclusion: str | None,
        message: str,
    ) -> None:
        pull.check |= {"status": status, "conclusion": conclusion}
        arguments = merge.read(self.arguments(pull, without_checks=True))
        with pytest.raises(ActionError, match=message):
            await merge.preview(arguments)
        with pytest.raises(ActionError, match=message):
            await merge.execute(arguments, attempt())
        assert pull.merges == []

    async def test_a_commit_status_that_has_not_passed(
        self, merge: Action[Any], pull: PullRequest
    ) -> None:
        pull.statuses["statuses"][0]["state"] = "pending"
        with pytest.raises(ActionError, match="1 pending"):
            await merge.execute(merge.read(self.arguments(pull)), attempt())

    async def test_without_any_check_only_where_that_is_said(
        self, merge: Action[Any], pull: PullRequest
    ) -> None:
        pull.check = {}
        pull.statuses |= {"statuses": [], "total_count": 0}
        with pytest.raises(ActionError, match="No check has run"):
            await merge.execute(merge.read(self.arguments(pull)), attempt())
        arguments = merge.read(self.arguments(pull, without_checks=True))
        await merge.execute(arguments, attempt())
        assert len(pull.merges) == 1
        assert "without checks" in merge.describe(arguments)

    @pytest.mark.parametrize(
        "wrong", [{"sha": "main"}, {"sha": "abc"}, {"number": 0}, {"method": "force"}]
    )
    def test_arguments(self, merge: Action[Any], pull: PullRequest, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
            merge.read(self.arguments(pull) | wrong)


class TestRevert:
    @pytest.fixture
    def revert(self, github: GitHubIntegration) -> Action[Any]:
        return action(github, "github.revert")

    @pytest.fixture
    def opened(self, described: DescribedGitHub, pull: PullRequest) -> list[dict[str, Any]]:
        """The pull requests that GitHub's `revertPullRequest` opened."""
        pull.pull |= {"state": "closed", "merged": True, "merge_commit_sha": "e" * 40}
        opened: list[dict[str, Any]] = []

        def mutate(variables: dict[str, Any]) -> tuple[int, Any]:
            (simple,) = example("pull-request-simple-items")
            address = f"https://github.com/{WHERE}/pull/{2000 + len(opened)}"
            new = {"number": 2000 + len(opened), "html_url": address, "body": variables["body"]}
            opened.append({**simple, **new, "requested_teams": []})
            self_ = {
                "number": new["number"],
                "url": address,
                "headRefName": "revert-1347-new-topic",
                "headRefOid": "d" * 40,
            }
            return 200, {"data": {"revertPullRequest": {"revertPullRequest": self_}}}

        described.answers["POST /graphql"] = mutate
        described.answers[f"GET {REPO}/pulls"] = lambda _: (200, opened[::-1])
        return opened

    def arguments(self, pull: PullRequest) -> dict[str, Any]:
        reason = "It broke the checkout. <!-- countersign:run-9/step-1 -->"
        return {"repository": WHERE, "number": pull.number, "reason": reason}

    async def test_opens_a_pull_request_once_however_often_it_is_tried(
        self,
        described: DescribedGitHub,
        revert: Action[Any],
        pull: PullRequest,
        opened: list[dict[str, Any]],
    ) -> None:
        arguments = revert.read(self.arguments(pull))
        described.drop_after_effect = True
        with pytest.raises(OutcomeUnknownError):
            await revert.execute(arguments, attempt())
        described.drop_after_effect = False
        result = await revert.execute(arguments, attempt(repeated=True))
        assert len(opened) == 1
        assert result.values == {"number": 2000, "url": opened[0]["html_url"]}
        assert "It broke the checkout." in opened[0]["body"]
        assert f"Reverts {WHERE}#{pull.number}" in opened[0]["body"]

        # a marker in somebody's text is not ours
        other = await revert.execute(arguments, attempt("run-9/step-1", repeated=True))
        assert other.values["number"] == 2001

    async def test_the_preview_changes_nothing(
        self, revert: Action[Any], pull: PullRequest, opened: list[dict[str, Any]]
    ) -> None:
        preview = await revert.preview(revert.read(self.arguments(pull)))
        assert preview is not None
        assert "e" * 40 in preview
        assert opened == []

    async def test_on_an_enterprise_server(
        self, described: DescribedGitHub, pull: PullRequest, opened: list[dict[str, Any]]
    ) -> None:
        async with connected(f"{described.url}/api/v3", TOKEN) as integration:
            revert = action(integration, "github.revert")
            await revert.execute(revert.read(self.arguments(pull)), attempt())
        assert len(opened) == 1

    async def test_one_that_is_not_merged(self, revert: Action[Any], pull: PullRequest) -> None:
        with pytest.raises(ActionError, match="not merged"):
            await revert.preview(revert.read(self.arguments(pull)))

    async def test_github_cannot_revert_it(
        self,
        described: DescribedGitHub,
        revert: Action[Any],
        pull: PullRequest,
        opened: list[dict[str, Any]],
    ) -> None:
        described.answers["POST /graphql"] = lambda _: (
            200,
            {
                "data": {"revertPullRequest": None},
                "errors": [{"message": "There are conflicts\nwith the base branch"}],
            },
        )
        with pytest.raises(ActionError, match="There are conflicts with the base branch"):
            await revert.execute(revert.read(self.arguments(pull)), attempt())


class TestDispatch:
    workflow = f"{REPO}/actions/workflows/deploy.yml"

    @pytest.fixture
    def dispatch(self, github: GitHubIntegration) -> Action[Any]:
        return action(github, "github.dispatch")

    @pytest.fixture
    def runs(self, described: DescribedGitHub) -> list[dict[str, Any]]:
        """The runs that were started; each is named after the input `key`."""
        (shown,) = example("workflow-run-paginated")["workflow_runs"]
        runs: list[dict[str, Any]] = []

        def start(body: dict[str, Any]) -> tuple[int, Any]:
            title = f"Deploy {body['inputs'].get('key', '')}"
            runs.append({**shown, "id": 700 + len(runs), "display_title": title, "sent": body})
            web = f"https://github.com/{WHERE}/actions/runs/{runs[-1]['id']}"
            return 200, {"workflow_run_id": runs[-1]["id"], "run_url": web, "html_url": web}

        described.answers[f"POST {self.workflow}/dispatches"] = start
        described.answers[f"GET {self.workflow}/runs"] = lambda _: (
            200,
            {"total_count": len(runs), "workflow_runs": runs[::-1]},
        )
        described.answers[f"GET {self.workflow}"] = lambda _: (200, example("workflow"))
        described.answers[f"GET {REPO}/commits/main"] = lambda _: (
            200,
            {**example("commit"), "files": []},
        )
        return runs

    def arguments(self, **more: Any) -> dict[str, Any]:
        inputs = {"environment": "staging"}
        return {
            "repository": WHERE,
            "workflow": "deploy.yml",
            "ref": "main",
            "inputs": inputs,
            **more,
        }

    async def test_starts_it(self, dispatch: Action[Any], runs: list[dict[str, Any]]) -> None:
        arguments = dispatch.read(self.arguments())
        preview = await dispatch.preview(arguments)
        assert preview == f"CI on main, commit {SHA}"
        assert runs == []
        long = {"environment": "x" * 100 + " and production"}
        preview = await dispatch.preview(dispatch.read(self.arguments(inputs=long)))
        assert preview == f"CI on main, commit {SHA}\nenvironment: {long['environment']}"

        result = await dispatch.execute(arguments, attempt())
        assert runs[0]["sent"]["ref"] == "main"
        assert runs[0]["sent"]["inputs"] == {"environment": "staging"}
        assert result.values["run_id"] == 700
        assert dispatch.idempotency_of(arguments) is Idempotency.NONE

    async def test_a_branch_with_a_slash(
        self, described: DescribedGitHub, dispatch: Action[Any], runs: list[dict[str, Any]]
    ) -> None:
        path = f"GET {REPO}/commits/release%2F1.2"
        described.answers[path] = described.answers[f"GET {REPO}/commits/main"]
        preview = await dispatch.preview(dispatch.read(self.arguments(ref="release/1.2")))
        assert preview == f"CI on release/1.2, commit {SHA}"

    async def test_with_a_key_a_repeated_attempt_finds_its_run(
        self, described: DescribedGitHub, dispatch: Action[Any], runs: list[dict[str, Any]]
    ) -> None:
        arguments = dispatch.read(self.arguments(key_input="key"))
        assert dispatch.idempotency_of(arguments) is Idempotency.KEYED
        described.drop_after_effect = True
        with pytest.raises(OutcomeUnknownError):
            await dispatch.execute(arguments, attempt("run-1/step-10"))
        described.drop_after_effect = False
        again = await dispatch.execute(arguments, attempt("run-1/step-10", repeated=True))
        assert again.values["run_id"] == 700
        assert len(runs) == 1

        # the key of another step that this one begins with
        other = await dispatch.execute(arguments, attempt("run-1/step-1", repeated=True))
        assert other.values["run_id"] == 701

    async def test_an_older_server_does_not_say_which_run(
        self, described: DescribedGitHub, dispatch: Action[Any], runs: list[dict[str, Any]]
    ) -> None:
        described.answers[f"POST {self.workflow}/dispatches"] = lambda _: (204, None)
        result = await dispatch.execute(dispatch.read(self.arguments()), attempt())
        assert result.values == {"url": ""}
        assert result.link is None

    async def test_a_workflow_that_is_switched_off(
        self, described: DescribedGitHub, dispatch: Action[Any], runs: list[dict[str, Any]]
    ) -> None:
        off = example("workflow") | {"state": "disabled_manually"}
        described.answers[f"GET {self.workflow}"] = lambda _: (200, off)
        with pytest.raises(ActionError, match="disabled_manually"):
            await dispatch.preview(dispatch.read(self.arguments()))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"workflow": "../deploy.yml"},
            {"workflow": "deploy"},
            {"ref": "--force"},
            {"ref": "a b"},
            {"inputs": {"a b": "x"}},
            {"inputs": {"a": 1}},
        ],
    )
    def test_arguments(self, dispatch: Action[Any], wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
            dispatch.read(self.arguments() | wrong)


class TestWait:
    @pytest.fixture
    async def wait(self, described: DescribedGitHub) -> AsyncIterator[WaitForRun]:
        client = GitHubClient("github", described.url, SecretStr(TOKEN), 20)
        await client.start()
        yield WaitForRun(client, Scope("github", ()), pause_s=0.01)
        await client.close()

    def arguments(self, described: DescribedGitHub, **more: Any) -> dict[str, Any]:
        return {"repository": described.repository, "run_id": described.run["id"], **more}

    async def test_until_it_succeeds(self, described: DescribedGitHub, wait: WaitForRun) -> None:
        described.run |= {"status": "in_progress", "conclusion": None}
        waiting = asyncio.create_task(wait.execute(wait.read(self.arguments(described)), attempt()))
        await until(lambda: len(described.requests) > 2, "it asks again")
        assert not waiting.done()
        described.run |= {"status": "completed", "conclusion": "success"}
        result = await waiting
        assert result.values["conclusion"] == "success"

    async def test_a_run_that_fails(self, described: DescribedGitHub, wait: WaitForRun) -> None:
        with pytest.raises(ActionError, match="ended as failure: https://"):
            await wait.execute(wait.read(self.arguments(described)), attempt())

    async def test_a_run_that_takes_too_long(
        self, described: DescribedGitHub, wait: WaitForRun
    ) -> None:
        described.run |= {"status": "queued", "conclusion": None}
        arguments = wait.read(self.arguments(described, timeout_s=0.5))
        with pytest.raises(ActionError, match=r"not ended in 0\.5 s; it is queued: https://"):
            await wait.execute(arguments, attempt())

    async def test_the_attempt_before_is_not_the_one(
        self, described: DescribedGitHub, wait: WaitForRun
    ) -> None:
        described.run |= {"run_attempt": 1, "status": "completed", "conclusion": "success"}
        arguments = wait.read(self.arguments(described, attempt=2, timeout_s=0.5))
        with pytest.raises(ActionError, match="not ended"):
            await wait.execute(arguments, attempt())


class TestDeploymentStatus:
    path = f"{REPO}/deployments/42"

    @pytest.fixture
    def statuses(self, described: DescribedGitHub) -> list[dict[str, Any]]:
        statuses: list[dict[str, Any]] = []

        def add(body: dict[str, Any]) -> tuple[int, Any]:
            new = {**example("deployment-status"), **body, "id": 900 + len(statuses)}
            statuses.append(new)
            return 201, new

        described.answers[f"POST {self.path}/statuses"] = add
        described.answers[f"GET {self.path}/statuses"] = lambda _: (200, statuses[::-1][:1])
        described.answers[f"GET {self.path}"] = lambda _: (200, example("deployment"))
        return statuses

    @pytest.fixture
    def say(self, github: GitHubIntegration) -> Action[Any]:
        return action(github, "github.deployment_status")

    def arguments(self, **more: Any) -> dict[str, Any]:
        return {"repository": WHERE, "deployment_id": 42, "state": "success", **more}

    async def test_sets_it_once_however_often_it_is_tried(
        self, described: DescribedGitHub, say: Action[Any], statuses: list[dict[str, Any]]
    ) -> None:
        more = {"description": "Rolled out", "environment_url": "https://shop.example"}
        arguments = say.read(self.arguments(**more))
        described.drop_after_effect = True
        with pytest.raises(OutcomeUnknownError):
            await say.execute(arguments, attempt())
        described.drop_after_effect = False
        result = await say.execute(arguments, attempt(repeated=True))
        assert len(statuses) == 1
        assert result.values == {"status_id": 900, "state": "success"}
        assert "already" in result.summary

    async def test_a_repeated_attempt_whose_first_did_nothing(
        self, say: Action[Any], statuses: list[dict[str, Any]]
    ) -> None:
        await say.execute(say.read(self.arguments(state="in_progress")), attempt())
        await say.execute(say.read(self.arguments()), attempt(repeated=True))
        assert [status["state"] for status in statuses] == ["in_progress", "success"]

    async def test_the_preview_says_what_it_is_now(
        self, say: Action[Any], statuses: list[dict[str, Any]]
    ) -> None:
        preview = await say.preview(say.read(self.arguments()))
        assert preview is not None
        assert "to production" in preview
        assert "now without a status, then success" in preview
        assert statuses == []

    @pytest.mark.parametrize(
        "wrong", [{"state": "done"}, {"log_url": "javascript:x"}, {"description": "x" * 141}]
    )
    def test_arguments(self, say: Action[Any], wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
            say.read(self.arguments() | wrong)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("github.merge", {"number": 1, "sha": SHA}),
        ("github.revert", {"number": 1}),
        ("github.comment", {"number": 1, "body": "x"}),
        ("github.dispatch", {"workflow": "deploy.yml", "ref": "main"}),
        ("github.wait", {"run_id": 1}),
        ("github.deployment_status", {"deployment_id": 1, "state": "success"}),
    ],
)
async def test_another_repository_than_the_allowed(
    described: DescribedGitHub, name: str, arguments: dict[str, Any]
) -> None:
    async with connected(described.url, TOKEN, repositories=["acme/*"]) as integration:
        tried = action(integration, name)
        read = tried.read({"repository": WHERE, **arguments})
        with pytest.raises(ActionError, match=r"integrations/github\.yaml allows: acme/\*"):
            await tried.execute(read, attempt())
    assert described.requests == []
