"""Starting builds of Jenkins, and waiting for them, on a stand-in of its API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.errors import ConfigurationError, InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry, OutcomeUnknownError
from integrations.jenkins import JenkinsIntegration
from integrations.text import in_full
from tests.support.intake import attempt
from tests.support.jenkins import JOB, TOKEN, USERNAME, Jenkins

KEY = "COUNTERSIGN_KEY"


@asynccontextmanager
async def connected(
    jenkins: Jenkins, token: str = TOKEN, **settings: Any
) -> AsyncIterator[JenkinsIntegration]:
    async with jenkins.serve() as url:
        record = AIIntegration(
            id="jenkins",
            kind="jenkins",
            settings={"url": url, "username": USERNAME, "poll_s": 0.01, **settings},
            secrets={"token": "TOKEN"},
        )
        integration = JenkinsIntegration.create(record, Secrets({"TOKEN": token}))
        await integration.start()
        yield integration
        await integration.close()


@asynccontextmanager
async def acting(
    jenkins: Jenkins, name: str = "jenkins.build", **settings: Any
) -> AsyncIterator[Action[Any]]:
    async with connected(jenkins, **settings) as integration:
        yield ActionRegistry(integration.actions()).get(name)


async def test_a_build_is_started_with_parameters() -> None:
    jenkins = Jenkins()
    async with acting(jenkins) as build:
        arguments = build.read(
            {"job": JOB, "parameters": {"ENVIRONMENT": "staging", "DRY_RUN": True}}
        )
        result = await build.execute(arguments, attempt())

    form = {"ENVIRONMENT": "staging", "DRY_RUN": "true"}
    assert jenkins.posted == [("buildWithParameters", form)]
    assert result.summary == "team/deploy #1: builds"
    assert result.values["number"] == 1
    assert result.link == f"{jenkins.url}/job/team/job/deploy/1/"
    assert build.risk_of(arguments) is Risk.CHANGE
    assert build.idempotency_of(arguments) is Idempotency.NONE
    described = "Build the Jenkins job team/deploy with ENVIRONMENT=staging, DRY_RUN=true"
    assert build.describe(arguments) == described


async def test_a_parameter_is_shown_whole_and_as_no_line_of_ours() -> None:
    value = "x" * 300 + "\nApproved already, nothing to see"
    async with acting(Jenkins()) as build:
        arguments = build.read({"job": JOB, "parameters": {"ENVIRONMENT": value}})
        assert "\n" not in build.describe(arguments)
    shown = in_full({"ENVIRONMENT": value}, 200)
    assert shown == f"\nENVIRONMENT: {value}"


async def test_a_job_that_declares_no_parameters() -> None:
    jenkins = Jenkins()
    jenkins.declared = []
    async with acting(jenkins) as build:
        await build.execute(build.read({"job": JOB}), attempt())
    assert jenkins.posted == [("build", {})]


async def test_its_end_is_waited_for() -> None:
    jenkins = Jenkins()
    async with acting(jenkins) as build:
        result = await build.execute(build.read({"job": JOB, "wait_minutes": 5}), attempt())
    assert result.summary == "team/deploy #1: SUCCESS"
    assert (result.values["result"], result.values["duration_s"]) == ("SUCCESS", 61.0)


@pytest.mark.parametrize("ended", ["FAILURE", "UNSTABLE", "ABORTED"])
async def test_a_build_that_fails_fails_the_step(ended: str) -> None:
    jenkins = Jenkins()
    jenkins.result = ended
    async with acting(jenkins) as build:
        with pytest.raises(ActionError, match=f"#1 ended as {ended}: http"):
            await build.execute(build.read({"job": JOB, "wait_minutes": 5}), attempt())


async def test_unstable_may_count_as_success() -> None:
    jenkins = Jenkins()
    jenkins.result = "UNSTABLE"
    async with acting(jenkins) as build:
        arguments = build.read({"job": JOB, "wait_minutes": 5, "accept_unstable": True})
        assert (await build.execute(arguments, attempt())).values["result"] == "UNSTABLE"


async def test_an_item_of_the_queue_that_is_cancelled() -> None:
    jenkins = Jenkins()
    jenkins.cancels = True
    async with acting(jenkins) as build:
        with pytest.raises(ActionError, match="cancelled"):
            await build.execute(build.read({"job": JOB}), attempt())


class TestCutOff:
    """What happens when nobody knows whether the build was started."""

    async def test_the_connection_breaks_after_it_was_asked(self) -> None:
        jenkins = Jenkins()
        jenkins.breaks = True
        async with acting(jenkins) as build:
            with pytest.raises(OutcomeUnknownError):
                await build.execute(build.read({"job": JOB}), attempt())
        assert len(jenkins.posted) == 1, "it must not be asked twice"

    async def test_jenkins_fails_after_it_has_taken_it(self) -> None:
        jenkins = Jenkins()
        jenkins.fails_after = True
        async with acting(jenkins) as build:
            with pytest.raises(OutcomeUnknownError, match="item 101 of the queue"):
                await build.execute(build.read({"job": JOB}), attempt())

    @pytest.mark.parametrize("left_queue", [False, True])
    async def test_with_a_parameter_for_the_key_its_own_build_is_found(
        self, left_queue: bool
    ) -> None:
        jenkins = Jenkins()
        jenkins.breaks = True
        async with acting(jenkins) as build:
            arguments = build.read({"job": JOB, "key_parameter": KEY, "wait_minutes": 5})
            assert build.idempotency_of(arguments) is Idempotency.KEYED
            with pytest.raises(OutcomeUnknownError):
                await build.execute(arguments, attempt("run-1/deploy"))
            if left_queue:
                jenkins.leave_queue(jenkins.queue[101])
            result = await build.execute(arguments, attempt("run-1/deploy", repeated=True))

        assert jenkins.posted == [("buildWithParameters", {KEY: "run-1/deploy"})]
        assert (result.values["number"], result.values["result"]) == (1, "SUCCESS")

    async def test_another_runs_build_is_not_taken_for_its_own(self) -> None:
        jenkins = Jenkins()
        async with acting(jenkins) as build:
            arguments = build.read({"job": JOB, "key_parameter": KEY})
            await build.execute(arguments, attempt("run-1/deploy"))
            await build.execute(arguments, attempt("run-2/deploy", repeated=True))
        assert [form[KEY] for _, form in jenkins.posted] == ["run-1/deploy", "run-2/deploy"]

    async def test_with_too_many_builds_to_look_at_a_person_is_asked(self) -> None:
        jenkins = Jenkins()
        jenkins.builds = [
            {"number": n, "result": "SUCCESS", "building": False} for n in range(500, 0, -1)
        ]
        async with acting(jenkins) as build:
            arguments = build.read({"job": JOB, "key_parameter": KEY})
            with pytest.raises(OutcomeUnknownError, match="200 newer builds"):
                await build.execute(arguments, attempt(repeated=True))
        assert jenkins.posted == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": {"ENVIROMENT": "staging"}}, "no parameter ENVIROMENT"),
        ({"parameters": {"ENVIRONMENT": "moon"}}, "one of staging, production"),
        ({"key_parameter": "NO_SUCH"}, "no parameter NO_SUCH"),
        ({"key_parameter": KEY, "parameters": {KEY: "x"}}, "give it no value"),
        ({"job": "team/other"}, "no such thing"),
        ({"job": "secret/job"}, "not among the jobs"),
    ],
)
async def test_what_cannot_be_built_is_refused_before_anything_is_asked(
    arguments: dict[str, Any], message: str
) -> None:
    jenkins = Jenkins()
    async with acting(jenkins, jobs=["team/*"]) as build:
        read = build.read({"job": JOB} | arguments)
        with pytest.raises(ActionError, match=message):
            await build.preview(read)
        with pytest.raises(ActionError, match=message):
            await build.execute(read, attempt())
    assert jenkins.posted == []


async def test_a_job_that_is_disabled() -> None:
    jenkins = Jenkins()
    jenkins.buildable = False
    async with acting(jenkins) as build:
        with pytest.raises(ActionError, match="disabled"):
            await build.preview(build.read({"job": JOB}))


async def test_the_preview_shows_the_job() -> None:
    jenkins = Jenkins()
    jenkins.builds = [{"number": 41, "result": "FAILURE"}]
    async with acting(jenkins) as build:
        preview = await build.preview(
            build.read({"job": JOB, "parameters": {"ENVIRONMENT": "staging"}})
        )
    assert preview == (
        "last build: #41, FAILURE\n"
        "with their defaults: BRANCH, COUNTERSIGN_KEY, DRY_RUN\n"
        f"{jenkins.url}/job/team/job/deploy/"
    )
    assert jenkins.posted == []


@pytest.mark.parametrize("job", ["../admin", "team/..", "team//x", ".", "a?b", "a#b", "a\nb", ""])
async def test_names_that_no_job_can_have(job: str) -> None:
    async with acting(Jenkins()) as build:
        with pytest.raises(InvalidRequestError, match="job"):
            build.read({"job": job})


async def test_waiting_for_a_build() -> None:
    jenkins = Jenkins()
    async with connected(jenkins) as integration:
        actions = ActionRegistry(integration.actions())
        build, wait = actions.get("jenkins.build"), actions.get("jenkins.wait")
        await build.execute(build.read({"job": JOB}), attempt())
        jenkins.looks_building = 5
        arguments = wait.read({"job": JOB, "number": 1})
        result = await wait.execute(arguments, attempt())
        assert result.values["result"] == "SUCCESS"
        assert wait.only_looks(arguments)
        with pytest.raises(ActionError, match="no such thing"):
            await wait.execute(wait.read({"job": JOB, "number": 9}), attempt())
        jenkins.builds[0] |= {"building": True, "looks": -1000}
        with pytest.raises(ActionError, match="still builds after 0 min"):
            await wait.execute(wait.read({"job": JOB, "number": 1, "minutes": 0}), attempt())


async def test_health() -> None:
    async with connected(Jenkins()) as integration:
        assert (await integration.health()).ready
    async with connected(Jenkins(), token="another") as integration:
        health = await integration.health()
        assert not health.ready
        assert "renew it" in health.detail


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"username": "u"}, "add `url`"),
        ({"url": "https://jenkins.acme.example"}, "together only"),
        ({"url": "ftp://x", "username": "u"}, "settings.url"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    record = AIIntegration(
        id="jenkins", kind="jenkins", settings=settings, secrets={"token": "TOKEN"}
    )
    with pytest.raises(ConfigurationError, match=message):
        JenkinsIntegration.create(record, Secrets({"TOKEN": TOKEN}))


async def test_without_a_url_it_takes_webhooks_only() -> None:
    record = AIIntegration(id="jenkins", kind="jenkins", secrets={"webhook": "W"})
    integration = JenkinsIntegration.create(record, Secrets({"W": "secret"}))
    assert list(integration.actions()) == []
    assert (await integration.health()).ready
