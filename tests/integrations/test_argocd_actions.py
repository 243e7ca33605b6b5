"""The actions in Argo CD, on a stand-in that knows what the documentation of its API names."""

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import JsonValue

from core.errors import ConfigurationError, InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry, OutcomeUnknownError
from integrations.argocd import ArgoCDIntegration
from tests.support.argocd_api import REVISIONS, TOKEN, StandInArgoCD, argocd
from tests.support.intake import attempt
from tests.support.npm import installed, node

SHOP: dict[str, JsonValue] = {"application": "shop"}
_VALIDATE = """
const {Application} = require(process.argv[1] + '/argoproj.io/v1alpha1/Application');
const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
for (const one of given) new Application(one).validate();
console.log(given.length);
"""


def create(token: str | None = TOKEN, **settings: JsonValue) -> ArgoCDIntegration:
    secrets = {"token": "TOKEN"} if token else {}
    record = AIIntegration(id="argocd", kind="argocd", settings=settings, secrets=secrets)
    return ArgoCDIntegration.create(record, Secrets({"TOKEN": token} if token else {}))


@asynccontextmanager
async def connected(
    standin: StandInArgoCD, token: str | None = TOKEN, **settings: JsonValue
) -> AsyncIterator[ArgoCDIntegration]:
    integration = create(token, url=standin.url, poll_s=0.01, **settings)
    await integration.start()
    try:
        yield integration
    finally:
        await integration.close()


@pytest.fixture
async def standin() -> AsyncIterator[StandInArgoCD]:
    async with argocd() as running:
        yield running


@pytest.fixture
async def integration(standin: StandInArgoCD) -> AsyncIterator[ArgoCDIntegration]:
    async with connected(standin) as made:
        yield made


def named(integration: ArgoCDIntegration, name: str) -> Action[Any]:
    return ActionRegistry(integration.actions()).get(f"argocd.{name}")


async def do(integration: ArgoCDIntegration, name: str, /, **arguments: JsonValue) -> Any:
    action = named(integration, name)
    return await action.execute(action.read(arguments), attempt())


async def dry_run(integration: ArgoCDIntegration, name: str, /, **arguments: JsonValue) -> str:
    action = named(integration, name)
    return await action.preview(action.read(arguments)) or ""


class TestSync:
    async def test_waits_for_the_end(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        result = await do(integration, "sync", **SHOP)

        assert result.values["sync"] == "Synced"
        assert "successfully synced" in result.summary
        assert "deployment.apps/web configured" in result.output
        assert result.link == f"{standin.url}/applications/argocd/shop"
        (sent,) = standin.effects
        assert sent["infos"] == [{"name": "countersign", "value": "run-1/step-1"}]

    async def test_a_dry_run_is_argo_cds_own(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        said = await dry_run(integration, "sync", **SHOP, revision="v2.0")

        assert "argocd/shop is OutOfSync and Healthy" in said
        assert "Dry run: successfully synced" in said
        assert standin.effects == []
        (sent,) = standin.sent
        assert (sent["dryRun"], sent["revision"]) == (True, "v2.0")
        assert len(standin.app["status"]["history"]) == 2

    async def test_a_dry_run_whose_answer_is_lost(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        standin.drop_after_effect = True
        assert "successfully synced" in await dry_run(integration, "sync", **SHOP)
        assert len(standin.sent) == 1

    async def test_a_dry_run_that_fails(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        standin.phase = "Failed"
        with pytest.raises(ActionError, match="objects failed to apply"):
            await dry_run(integration, "sync", **SHOP)

    async def test_a_sync_that_fails(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        standin.phase = "Failed"
        with pytest.raises(ActionError, match="objects failed to apply"):
            await do(integration, "sync", **SHOP)

    async def test_a_repeated_attempt_finds_its_own(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        sync = named(integration, "sync")
        arguments = sync.read(SHOP)
        standin.drop_after_effect = True
        with pytest.raises(OutcomeUnknownError):
            await sync.execute(arguments, attempt())
        result = await sync.execute(arguments, attempt(repeated=True))

        assert sync.idempotency_of(arguments) is Idempotency.KEYED
        assert result.values["sync"] == "Synced"
        assert len(standin.effects) == 1

    async def test_another_operation_is_not_disturbed(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        standin.app["operation"] = {"sync": {}}
        standin.looks = 10_000
        for tried in (dry_run, do):
            with pytest.raises(ActionError, match="operation in progress"):
                await tried(integration, "sync", **SHOP)
        assert standin.sent == []

    async def test_one_that_takes_too_long_may_have_been_done(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        standin.looks = 10_000
        with pytest.raises(OutcomeUnknownError, match="not over after 1 s: http"):
            await do(integration, "sync", **SHOP, timeout_s=1)

    @pytest.mark.parametrize("name", ["sync", "rollback"])
    async def test_one_that_cannot_be_looked_at_may_have_been_done(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration, name: str
    ) -> None:
        standin.forbid_after_effect = True
        with pytest.raises(OutcomeUnknownError, match="permission denied"):
            await do(integration, name, **SHOP)
        assert len(standin.effects) == 1

    async def test_a_repeated_attempt_syncs_again_what_has_failed(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        sync = named(integration, "sync")
        standin.phase = "Failed"
        with pytest.raises(ActionError, match="failed to apply"):
            await sync.execute(sync.read(SHOP), attempt())
        standin.phase = "Succeeded"
        result = await sync.execute(sync.read(SHOP), attempt(repeated=True))
        assert result.values["sync"] == "Synced"
        assert len(standin.effects) == 2

    async def test_to_prune_is_destructive(self, integration: ArgoCDIntegration) -> None:
        sync = named(integration, "sync")
        assert sync.risk_of(sync.read(SHOP)) is Risk.CHANGE
        assert sync.risk_of(sync.read({**SHOP, "prune": True})) is Risk.DESTRUCTIVE
        assert "deleting" in sync.describe(sync.read({**SHOP, "prune": True}))


class TestRollback:
    async def test_to_the_deployment_before_the_last(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        said = await dry_run(integration, "rollback", **SHOP)
        assert f"back to deployment 0: {REVISIONS[0]}, deployed 2026-01-01 10:00 UTC" in said
        assert standin.sent == []

        result = await do(integration, "rollback", **SHOP)
        assert standin.app["status"]["sync"]["revision"] == REVISIONS[0]
        assert result.values["deployment"] == 0
        rollback = named(integration, "rollback")
        assert rollback.idempotency_of(rollback.read(SHOP)) is Idempotency.NONE

    async def test_to_a_deployment(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        result = await do(integration, "rollback", **SHOP, deployment=1)
        assert result.values["deployment"] == 1
        rollback = named(integration, "rollback")
        given = rollback.read({**SHOP, "deployment": 1})
        assert rollback.idempotency_of(given) is Idempotency.NATURAL
        with pytest.raises(ActionError, match="its history has: 0, 1, 2"):
            await dry_run(integration, "rollback", **SHOP, deployment=9)

    async def test_a_repeated_attempt_lets_the_first_end(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        rollback = named(integration, "rollback")
        arguments = rollback.read({**SHOP, "deployment": 0})
        standin.drop_after_effect = True
        with pytest.raises(OutcomeUnknownError):
            await rollback.execute(arguments, attempt())
        await rollback.execute(arguments, attempt(repeated=True))

        assert [sent["id"] for sent in standin.effects] == [0, 0]
        assert standin.app["status"]["sync"]["revision"] == REVISIONS[0]

    @pytest.mark.parametrize("automated", [{}, {"prune": True}, {"enabled": True}])
    async def test_not_where_it_would_be_undone_at_once(
        self,
        standin: StandInArgoCD,
        integration: ArgoCDIntegration,
        automated: dict[str, bool],
    ) -> None:
        standin.app["spec"]["syncPolicy"] = {"automated": automated}
        for tried in (dry_run, do):
            with pytest.raises(ActionError, match="synced automatically"):
                await tried(integration, "rollback", **SHOP)
        standin.app["spec"]["syncPolicy"] = {"automated": {"enabled": False}}
        assert "deployment 0" in await dry_run(integration, "rollback", **SHOP)
        assert standin.sent == []


class TestLooking:
    async def test_an_application(self, integration: ArgoCDIntegration) -> None:
        result = await do(integration, "app", **SHOP)
        assert result.values == {
            "sync": "OutOfSync",
            "health": "Healthy",
            "revision": REVISIONS[1],
            "images": ["shop/web:2"],
            "differing": 1,
        }
        assert "OutOfSync Deployment shop/web" in result.output

    async def test_waiting_for_health(
        self, standin: StandInArgoCD, integration: ArgoCDIntegration
    ) -> None:
        with pytest.raises(ActionError, match="synced and healthy is not over after 1 s"):
            await do(integration, "wait", **SHOP, timeout_s=1)
        standin.app["status"]["sync"]["status"] = "Synced"
        result = await do(integration, "wait", **SHOP, timeout_s=1)
        assert result.summary.startswith("argocd/shop is Synced and Healthy")


class TestLimits:
    async def test_other_applications_are_left_alone(self, standin: StandInArgoCD) -> None:
        async with connected(standin, applications=["web-*"]) as integration:
            for name in ("app", "sync", "rollback", "wait"):
                with pytest.raises(ActionError, match=r"settings\.applications.*web-\*"):
                    await do(integration, name, **SHOP)
        assert standin.requests == []

    async def test_other_projects_are_left_alone(self, standin: StandInArgoCD) -> None:
        async with connected(standin, projects=["team-*"]) as integration:
            for name in ("sync", "rollback"):
                with pytest.raises(ActionError, match=r"settings\.projects.*team-\*"):
                    await do(integration, name, **SHOP)
        assert standin.sent == []

    @pytest.mark.parametrize("name", ["../projects", "a/b", "a?x", "", "..", "A", "a%2fb"])
    async def test_a_name_is_nothing_else(self, integration: ArgoCDIntegration, name: str) -> None:
        with pytest.raises(InvalidRequestError):
            named(integration, "sync").read({"application": name})
        with pytest.raises(InvalidRequestError):
            named(integration, "sync").read({"application": "shop", "app_namespace": name})

    @pytest.mark.parametrize("revision", ["--force", "a b", "", "a\n", "$(x)"])
    async def test_a_revision_is_nothing_else(
        self, integration: ArgoCDIntegration, revision: str
    ) -> None:
        with pytest.raises(InvalidRequestError):
            named(integration, "sync").read({**SHOP, "revision": revision})

    async def test_without_a_token_it_says_so(self, standin: StandInArgoCD) -> None:
        async with connected(standin, token=None) as integration:
            with pytest.raises(ActionError, match="add `token: NAME`"):
                await dry_run(integration, "sync", **SHOP)

    async def test_health(self, standin: StandInArgoCD, integration: ArgoCDIntegration) -> None:
        health = await integration.health()
        assert (health.ready, health.detail) == (True, "Argo CD v3.1.0+abc answers")

    async def test_without_an_address_it_only_listens(self) -> None:
        assert list(create(token=None).actions()) == []
        with pytest.raises(ConfigurationError, match="add `url`"):
            create()


async def test_what_the_stand_in_shows_is_an_application(
    standin: StandInArgoCD, integration: ArgoCDIntegration
) -> None:
    """By the schema of Argo CD's custom resource, as npm's `@kubernetes-models/argo-cd` has it."""
    shown = [json.loads(json.dumps(standin.app))]
    await do(integration, "sync", **SHOP)
    shown.append(standin.app)
    package = installed("@kubernetes-models/argo-cd", "4.0.0")
    for given, passes in ((shown, True), ([{**shown[0], "spec": {"project": 1}}], False)):
        done = subprocess.run(
            [node(), "-e", _VALIDATE, str(package)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.stdout.strip() == str(len(given))) is passes, done.stderr
