"""Jenkins' notifications: from the plugin, and from a pipeline's own step."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from core.records import Event
from integrations.jenkins import JenkinsIntegration
from integrations.jenkins.webhook import JenkinsWebhook
from integrations.webhooks import ARRIVAL, Identity, MalformedDeliveryError, SignatureError
from tests.support.source_cases import SourceCase, SourceChecks

PAYLOADS = Path(__file__).parent / "payloads" / "jenkins"
NOW = datetime.now(UTC)


def sign_as_plugin(secret: str, _body: bytes, _at: datetime) -> dict[str, str]:
    """What the plugin makes of `https://jenkins:SECRET@HOST/…`: see its `Protocol.java`."""
    pair = base64.b64encode(f"jenkins:{secret}".encode()).decode()
    return {"Content-Type": "application/json;charset=UTF-8", "Authorization": f"Basic {pair}"}


def sign_as_pipeline(secret: str, _body: bytes, _at: datetime) -> dict[str, str]:
    """What the step in docs/integrations/jenkins.md sends."""
    return {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}


class TestPluginDelivery(SourceChecks):
    case = SourceCase(
        integration=JenkinsIntegration,
        sign=sign_as_plugin,
        body=(PAYLOADS / "completed.json").read_bytes(),
        proofs=("Authorization",),
        signs_body=False,
        kinds=("ci.failed",),
    )


class TestPipelineDelivery(SourceChecks):
    case = SourceCase(
        integration=JenkinsIntegration,
        sign=sign_as_pipeline,
        body=(PAYLOADS / "pipeline.json").read_bytes(),
        proofs=("Authorization",),
        signs_body=False,
        kinds=("ci.succeeded",),
    )


@pytest.mark.parametrize(
    "header",
    ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
)
def test_the_example_of_rfc_7617(header: str) -> None:
    """`Aladdin` with the password `open sesame`, from section 2 of the RFC."""
    body = (PAYLOADS / "started.json").read_bytes()
    webhook = JenkinsWebhook("jenkins", (SecretStr("open sesame"),))
    assert webhook.verify({"authorization": header}, body, NOW).subject == "team/deploy"
    with pytest.raises(SignatureError, match="password"):
        JenkinsWebhook("jenkins", (SecretStr("Aladdin"),)).verify(
            {"authorization": header}, body, NOW
        )


def changed(name: str, **build: Any) -> bytes:
    state = json.loads((PAYLOADS / f"{name}.json").read_text())
    state["build"] |= build
    return json.dumps(state).encode()


def told(name: str, **build: Any) -> list[Event]:
    return JenkinsWebhook("jenkins", ()).normalise({}, changed(name, **build))


def identity(name: str, **build: Any) -> Identity:
    webhook = JenkinsWebhook("jenkins", (SecretStr("secret"),))
    return webhook.verify({"authorization": "Bearer secret"}, changed(name, **build), NOW)


def test_a_failed_build() -> None:
    (event,) = told("completed")
    assert (event.kind, event.subject) == ("ci.failed", "team/deploy")
    assert event.title == "team/deploy #42 failed on main"
    assert event.occurred_at == datetime(2026, 9, 1, 9, 18, 41, 456000, UTC)
    assert event.attributes == {
        "repository": "acme/shop",
        "branch": "main",
        "sha": "bffeb74224043ba2feb48d137756c8a9331c449a",
        "workflow": "team/deploy",
        "job": "team/deploy",
        "run_id": 42,
        "run_number": 42,
        "conclusion": "FAILURE",
        "actor": "ada",
        "url": "https://jenkins.acme.example/job/team/job/deploy/42/",
        "parameter_ENVIRONMENT": "staging",
    }


@pytest.mark.parametrize(
    ("name", "build", "kinds"),
    [
        ("started", {}, ["ci.started"]),
        ("completed", {"status": "SUCCESS"}, ["ci.succeeded"]),
        ("completed", {"status": "UNSTABLE"}, ["ci.failed"]),
        ("finalized", {}, ["ci.failed"]),
        ("completed", {"status": "ABORTED"}, []),
        ("completed", {"status": "NOT_BUILT"}, []),
        ("started", {"phase": "QUEUED"}, []),
    ],
)
def test_what_the_phases_and_results_mean(
    name: str, build: dict[str, Any], kinds: list[str]
) -> None:
    assert [event.kind for event in told(name, **build)] == kinds


def test_the_end_of_a_build_is_one_delivery_though_the_plugin_tells_it_twice() -> None:
    assert identity("completed") == identity("finalized")
    assert identity("started").key != identity("completed").key
    assert identity("started", number=43, queue_id=1240).key != identity("started").key
    assert identity("started", queue_id=9).key != identity("started").key


def test_a_pipelines_own_step_names_the_same_job() -> None:
    (event,) = told("pipeline")
    assert event.attributes["workflow"] == "team/deploy"
    assert event.attributes["repository"] == "acme/shop"


def test_a_branch_of_a_multibranch_job() -> None:
    body = json.loads(changed("started"))
    body |= {"name": "feature%2Fx", "url": "job/shop/job/feature%252Fx/"}
    (event,) = JenkinsWebhook("jenkins", ()).normalise({}, json.dumps(body).encode())
    assert event.attributes["job"] == "shop/feature%2Fx"


def test_without_a_time_it_happened_on_its_arrival() -> None:
    (event,) = told("completed", timestamp=None)
    assert event.occurred_at == ARRIVAL


@pytest.mark.parametrize(
    "build", [{"phase": "DREAMING"}, {"number": "x"}, {"timestamp": "soon"}, {"scm": "git"}]
)
def test_a_payload_that_the_plugin_does_not_send(build: dict[str, Any]) -> None:
    with pytest.raises(MalformedDeliveryError, match="JobState"):
        told("completed", **build)
