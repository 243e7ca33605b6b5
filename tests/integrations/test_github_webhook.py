"""GitHub's webhooks: its own signature vector, its published payloads, and a foreign sender."""

import hashlib
import hmac
import json
import logging
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from core.records import Event
from integrations.events import UnreadableDeliveryError, events_of
from integrations.github import GitHubIntegration
from integrations.github.webhook import GitHubWebhook
from integrations.webhooks import MalformedDeliveryError, SignatureError
from tests.support.emulate import emulated_github
from tests.support.intake import GITHUB_SECRET, Intake, post, signed
from tests.support.npm import installed
from tests.support.source_cases import SourceCase, SourceChecks, lower

NOW = datetime.now(UTC)
PAYLOADS = Path(__file__).parent / "payloads" / "github"
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


def webhook(*secrets: str) -> GitHubWebhook:
    keys = tuple(SecretStr(secret) for secret in secrets or (GITHUB_SECRET,))
    return GitHubWebhook("github", keys, 1024 * 1024)


class TestSignature:
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    #testing-the-webhook-payload-validation"""

    body = b"Hello, World!"
    headers: ClassVar = {
        "x-github-delivery": DELIVERY,
        "x-hub-signature-256": (
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        ),
    }

    def test_the_vector_that_github_publishes(self) -> None:
        assert (
            webhook("It's a Secret to Everybody").verify(self.headers, self.body, NOW).key
            == DELIVERY
        )

    def test_another_secret(self) -> None:
        with pytest.raises(SignatureError):
            webhook("It's a secret to everybody").verify(self.headers, self.body, NOW)

    def test_two_secrets_are_valid_while_one_is_replaced(self) -> None:
        both = webhook("the new one", "It's a Secret to Everybody")
        assert both.verify(self.headers, self.body, NOW).key == DELIVERY


@cache
def examples(event: str) -> list[dict[str, Any]]:
    """The payloads that GitHub's Octokit team publishes for an event."""
    folder: Path = installed("@octokit/webhooks-examples", "7.6.1")
    index = json.loads((folder / "api.github.com" / "index.json").read_text())
    (found,) = [entry["examples"] for entry in index if entry["name"] == event]
    assert found
    return list(found)


def normalise(event: str, payload: dict[str, Any]) -> list[Event]:
    body = json.dumps(payload).encode()
    return webhook().normalise({"x-github-event": event, "x-github-delivery": DELIVERY}, body)


def completed(conclusion: str) -> dict[str, Any]:
    payload = next(e for e in examples("workflow_run") if e["action"] == "completed")
    return payload | {"workflow_run": payload["workflow_run"] | {"conclusion": conclusion}}


SHARED: dict[str, set[str]] = {
    "check_run": set(),  # those published are GitHub Actions' own
    "check_suite": {"ci.succeeded"},
    "deployment_status": {"deploy.succeeded"},
    "issue_comment": {"issue.commented"},
    "issues": {"issue.opened", "issue.reopened", "issue.labeled"},
    "pull_request": {"pull_request.opened", "pull_request.closed", "pull_request.updated"},
    "pull_request_review": {"pull_request.reviewed"},
    "pull_request_review_comment": {"pull_request.commented"},
    "release": {"release.published"},
    "workflow_job": {"ci.job_failed"},
}


def sign(secret: str, body: bytes, at: datetime) -> dict[str, str]:
    """As GitHub's page on validating deliveries describes it; it signs no time."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": DELIVERY,
        "X-Hub-Signature-256": f"sha256={digest}",
    }


class TestDelivery(SourceChecks):
    case = SourceCase(
        integration=GitHubIntegration,
        sign=sign,
        body=(PAYLOADS / "pull_request.json").read_bytes(),
        proofs=("X-Hub-Signature-256",),
        needed=("X-GitHub-Delivery", "X-GitHub-Event"),
        kinds=("pull_request.closed",),
    )


class TestOrder:
    """What Countersign keeps the order of: a pull request's deliveries, a branch's."""

    def subject(self, event: str, payload: Any) -> str:
        body = json.dumps(payload).encode()
        headers = lower(sign(GITHUB_SECRET, body, NOW)) | {"x-github-event": event}
        return webhook().verify(headers, body, NOW).subject

    def test_all_that_is_said_of_one_pull_request(self) -> None:
        pull = next(e for e in examples("pull_request") if e["action"] == "opened")
        review = examples("pull_request_review")[0]
        number, where = pull["pull_request"]["number"], pull["repository"]["full_name"]
        assert self.subject("pull_request", pull) == f"{where} {number}"
        assert self.subject("pull_request_review", review) == self.subject(
            "pull_request_review_comment", examples("pull_request_review_comment")[0]
        )

    def test_a_push_and_the_runs_of_its_branch(self) -> None:
        run, push = completed("failure"), examples("push")[0]
        where, branch = run["repository"]["full_name"], run["workflow_run"]["head_branch"]
        push = push | {"ref": f"refs/heads/{branch}", "repository": {"full_name": where}}
        assert self.subject("push", push) == f"{where} {branch}"
        assert self.subject("workflow_run", run) == f"{where} {branch}"

    def test_two_branches_do_not_wait_for_each_other(self) -> None:
        one = completed("failure")
        two = one | {"workflow_run": one["workflow_run"] | {"head_branch": "another"}}
        assert self.subject("workflow_run", one) != self.subject("workflow_run", two)

    def test_every_published_payload_that_we_read_has_an_order(self) -> None:
        for name in (*SHARED, "push", "workflow_run"):
            for payload in examples(name):
                assert 0 < len(self.subject(name, payload)) <= 300

    @pytest.mark.parametrize(
        "payload", [[], {}, {"ref": 1, "repository": "x"}, {"ref": "r" * 5000}]
    )
    def test_a_body_that_does_not_say_it_is_taken_all_the_same(self, payload: Any) -> None:
        assert self.subject("push", payload) == ""

    def test_a_long_one_is_shortened(self) -> None:
        payload = {"ref": "refs/heads/" + "b" * 5000, "repository": {"full_name": "acme/shop"}}
        assert len(self.subject("push", payload)) == 300


class TestEvents:
    def test_a_forks_branch_is_not_taken_for_ours(self) -> None:
        payload = completed("failure")
        run = payload["workflow_run"]
        run |= {"head_branch": "main", "head_repository": run["repository"]}
        (event,) = normalise("workflow_run", payload)
        assert event.attributes["branch"] == "main"
        run |= {"head_repository": {"full_name": "mallory/fork"}}
        (event,) = normalise("workflow_run", payload)
        assert event.attributes["branch"] == "mallory:main"
        assert "on mallory:main of" in event.title

    @pytest.mark.parametrize(
        ("conclusion", "kind"),
        [
            ("success", "ci.succeeded"),
            ("failure", "ci.failed"),
            ("timed_out", "ci.failed"),
            ("startup_failure", "ci.failed"),
        ],
    )
    def test_a_completed_workflow_run(self, conclusion: str, kind: str) -> None:
        payload = completed(conclusion)
        run, repository = payload["workflow_run"], payload["repository"]["full_name"]
        (event,) = normalise("workflow_run", payload)

        assert event.id == f"github:{DELIVERY}"
        assert event.kind == kind
        assert event.source == "github"
        assert event.subject == repository
        assert event.attributes["repository"] == repository
        assert event.attributes["branch"] == run["head_branch"]
        assert event.attributes["sha"] == run["head_sha"]
        assert event.attributes["run_id"] == run["id"]
        assert event.attributes["run_attempt"] == 1
        assert event.attributes["workflow"] == run["name"]
        assert event.attributes["url"] == run["html_url"]
        assert event.attributes["conclusion"] == conclusion
        assert event.occurred_at.isoformat() == run["updated_at"].replace("Z", "+00:00")

    @pytest.mark.parametrize("conclusion", ["cancelled", "skipped", "neutral", "action_required"])
    def test_a_run_that_neither_failed_nor_succeeded(self, conclusion: str) -> None:
        assert normalise("workflow_run", completed(conclusion)) == []

    def test_every_published_workflow_run_is_read(self) -> None:
        for payload in examples("workflow_run"):
            conclusion = payload["workflow_run"]["conclusion"]
            kinds = [event.kind for event in normalise("workflow_run", payload)]
            assert kinds == {"success": ["ci.succeeded"], "failure": ["ci.failed"]}.get(
                conclusion, []
            )

    def test_every_published_push_is_read(self) -> None:
        for payload in examples("push"):
            (event,) = normalise("push", payload)
            assert event.kind == "push"
            assert event.attributes["sha"] == payload["after"]
            assert event.attributes["actor"] == payload["pusher"]["name"]
            name = payload["ref"].split("/", 2)[2]
            assert name in (event.attributes["branch"], event.attributes["tag"])

    def test_every_published_pull_request_is_read(self) -> None:
        for payload in examples("pull_request"):
            event, *_ = normalise("pull_request", payload)
            assert event.id == f"github:{DELIVERY}"
            assert event.kind == f"pull_request.{payload['action']}"
            number = payload["pull_request"]["number"]
            assert event.subject == f"{payload['repository']['full_name']}#{number}"
            assert event.attributes["branch"] == payload["pull_request"]["head"]["ref"]

    def test_a_merge_and_new_commits_also_have_the_names_that_all_senders_share(self) -> None:
        payload = next(e for e in examples("pull_request") if e["action"] == "closed")
        pull = payload["pull_request"]
        merged = payload | {"pull_request": pull | {"merged": True}}
        events = normalise("pull_request", merged)
        assert [event.kind for event in events] == ["pull_request.closed", "pull_request.merged"]
        assert len({event.id for event in events}) == 2
        assert events[0].attributes == events[1].attributes

        closed = payload | {"pull_request": pull | {"merged": False}}
        assert [e.kind for e in normalise("pull_request", closed)] == ["pull_request.closed"]
        (pushed,) = [e for e in examples("pull_request") if e["action"] == "synchronize"]
        kinds = [event.kind for event in normalise("pull_request", pushed)]
        assert kinds == ["pull_request.synchronize", "pull_request.updated"]

    @pytest.mark.parametrize("name", SHARED)
    def test_every_published_payload_is_read(self, name: str) -> None:
        seen = {e.kind for payload in examples(name) for e in normalise(name, payload)}
        assert SHARED[name] <= seen

    def test_a_comment_below_a_pull_request(self) -> None:
        payload = next(e for e in examples("issue_comment") if e["action"] == "created")
        (event,) = normalise("issue_comment", payload)
        assert event.kind == "issue.commented"
        assert event.attributes["comment"] == payload["comment"]["body"]
        assert event.subject.endswith(f"#{payload['issue']['number']}")

        below = payload | {"issue": payload["issue"] | {"pull_request": {"url": "x"}}}
        (event,) = normalise("issue_comment", below)
        assert event.kind == "pull_request.commented"
        assert event.attributes["pull_title"] == payload["issue"]["title"]

    @pytest.mark.parametrize(
        ("state", "kinds"),
        [
            ("in_progress", ["deploy.started"]),
            ("success", ["deploy.succeeded"]),
            ("failure", ["deploy.failed"]),
            ("error", ["deploy.failed"]),
            ("inactive", []),
            ("queued", []),
        ],
    )
    def test_deployments(self, state: str, kinds: list[str]) -> None:
        payload = examples("deployment_status")[0]
        status = payload["deployment_status"] | {"state": state}
        events = normalise("deployment_status", payload | {"deployment_status": status})
        assert [event.kind for event in events] == kinds
        for event in events:
            assert event.attributes["environment"] == "production"
            assert event.attributes["sha"] == payload["deployment"]["sha"]

    def test_what_github_actions_reports_is_told_once(self) -> None:
        """Its workflow runs and jobs are check suites and check runs, too."""
        for name in ("check_suite", "check_run"):
            payload = next(e for e in examples(name) if e["action"] == "completed")
            own = payload[name] | {"app": {"slug": "github-actions", "name": "GitHub Actions"}}
            other = payload[name] | {"app": {"slug": "jenkins", "name": "Jenkins"}}
            assert normalise(name, payload | {name: own}) == []
            (event,) = normalise(name, payload | {name: other})
            assert event.attributes["workflow"] == "Jenkins"

    def test_a_run_that_starts(self) -> None:
        payload = completed("success")
        run = payload["workflow_run"] | {"status": "in_progress", "conclusion": None}
        (event,) = normalise(
            "workflow_run", payload | {"action": "in_progress", "workflow_run": run}
        )
        assert event.kind == "ci.started"

    def test_an_address_that_is_no_web_page_is_left_out(self) -> None:
        payload = completed("failure")
        payload["workflow_run"] = payload["workflow_run"] | {"html_url": "javascript:alert(1)"}
        (event,) = normalise("workflow_run", payload)
        assert event.attributes["url"] == ""

    def test_a_time_that_cannot_be(self) -> None:
        payload = examples("push")[0]
        payload = payload | {"repository": payload["repository"] | {"pushed_at": 10**30}}
        with pytest.raises(MalformedDeliveryError, match="pushed_at"):
            normalise("push", payload)

    def test_a_moment_at_the_end_of_the_calendar(self) -> None:
        payload = completed("failure")
        last = {"updated_at": "9999-12-31T23:59:59-12:00"}
        payload["workflow_run"] = payload["workflow_run"] | last
        (event,) = normalise("workflow_run", payload)
        assert event.occurred_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

    def test_a_ping_is_taken_and_means_nothing(self) -> None:
        for payload in examples("ping"):
            assert normalise("ping", payload) == []

    def test_events_that_we_do_not_use_mean_nothing(self) -> None:
        assert normalise("star", {"action": "created"}) == []

    def test_attributes_are_flat(self) -> None:
        payloads = [("workflow_run", completed("failure"))]
        payloads += [("push", p) for p in examples("push")]
        payloads += [(name, p) for name in SHARED for p in examples(name)]
        for name, payload in payloads:
            for event in normalise(name, payload):
                assert all(isinstance(v, str | int | bool) for v in event.attributes.values())

    def test_text_from_outside_stays_on_one_line_without_control_characters(self) -> None:
        payload = completed("failure")
        payload["workflow_run"]["name"] = "CI\n\x00\x1b[31m <!channel> " + "x" * 5000
        (event,) = normalise("workflow_run", payload)
        assert len(event.title) <= 500
        assert event.title.isprintable()

    @pytest.mark.parametrize(
        "payload",
        [{}, [], {"action": "completed"}, {"action": "completed", "workflow_run": {"id": "x"}}],
    )
    def test_a_payload_that_github_does_not_document(self, payload: Any) -> None:
        with pytest.raises(MalformedDeliveryError, match="WorkflowRunEvent"):
            normalise("workflow_run", payload)


async def test_a_stored_delivery_becomes_an_event(intake: Intake) -> None:
    body = json.dumps(completed("failure")).encode()
    await post(intake, body, signed(body, DELIVERY, "workflow_run"))
    (delivery,) = await intake.stored()
    (event,) = events_of(delivery, intake.integrations)
    assert (event.kind, event.id) == ("ci.failed", f"github:{DELIVERY}")


async def test_a_stored_delivery_that_cannot_be_read_says_why(intake: Intake) -> None:
    body = b'{"action": "completed"}'
    await post(intake, body, signed(body, DELIVERY, "workflow_run"))
    (delivery,) = await intake.stored()
    with pytest.raises(UnreadableDeliveryError, match=r"workflow_run: Field required"):
        events_of(delivery, intake.integrations)


async def test_a_delivery_whose_integration_is_gone_says_so(intake: Intake) -> None:
    body = b"{}"
    await post(intake, body, signed(body, DELIVERY))
    (delivery,) = await intake.stored()
    gone = delivery.model_copy(update={"source": "webhook:gitlab"})
    with pytest.raises(UnreadableDeliveryError, match=r"integrations/gitlab\.yaml"):
        events_of(gone, intake.integrations)


async def test_emulate_delivers_with_its_own_signature(
    intake: Intake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """npm's emulate signs with Node's crypto and posts by itself: a sender that is not ours."""
    caplog.set_level(logging.INFO, logger="integrations.intake")
    async with emulated_github(tmp_path) as github:
        repository = await github.create_repository("shop")

        async def hook(secret: str) -> int:
            config = {"url": f"{intake.url}/webhooks/github", "secret": secret}
            created = await github.call(
                "POST",
                f"/repos/{repository}/hooks",
                {"config": config | {"content_type": "json"}, "events": ["push"]},
            )
            return int(created["id"])

        right = await hook(GITHUB_SECRET)
        await github.call("POST", f"/repos/{repository}/hooks/{right}/pings")
        await github.call("POST", f"/repos/{repository}/hooks/{right}/tests")
        deliveries = await intake.stored()
        await github.call("DELETE", f"/repos/{repository}/hooks/{right}")
        wrong = await hook("another secret")
        await github.call("POST", f"/repos/{repository}/hooks/{wrong}/tests")

    assert [d.headers["x-github-event"] for d in deliveries] == ["ping", "push"]
    events = [event for d in deliveries for event in events_of(d, intake.integrations)]
    assert [(e.kind, e.subject, e.attributes["branch"]) for e in events] == [
        ("push", repository, "main")
    ]
    assert await intake.stored() == []
    assert sum(": 401 from" in r.getMessage() for r in caplog.records) == 1
