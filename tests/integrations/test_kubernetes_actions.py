"""The actions on a cluster: a stand-in that is held to the API that Kubernetes publishes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from pydantic import JsonValue

from core.errors import InvalidRequestError
from core.records import Idempotency, Risk
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError, ActionRegistry
from integrations.kubernetes import KubernetesIntegration
from tests.support.intake import attempt
from tests.support.kubernetes_api import TOKEN, StandInCluster, served, shop
from tests.support.kubernetes_objects import pod
from tests.support.until import until

WEB: dict[str, JsonValue] = {"namespace": "shop", "name": "web"}


@asynccontextmanager
async def connected(
    cluster: StandInCluster, token: str = TOKEN, **settings: JsonValue
) -> AsyncIterator[KubernetesIntegration]:
    record = AIIntegration(
        id="kubernetes",
        kind="kubernetes",
        settings={"url": cluster.url, "poll_s": 0.02, **settings},
        secrets={"token": "TOKEN"},
    )
    integration = KubernetesIntegration.create(record, Secrets({"TOKEN": token}))
    await integration.start()
    try:
        yield integration
    finally:
        await integration.close()


@pytest.fixture
async def cluster() -> AsyncIterator[StandInCluster]:
    async with served(shop()) as running:
        yield running


@pytest.fixture
async def integration(cluster: StandInCluster) -> AsyncIterator[KubernetesIntegration]:
    async with connected(cluster) as made:
        yield made


def named(integration: KubernetesIntegration, name: str) -> Action[Any]:
    return ActionRegistry(integration.actions()).get(f"kubernetes.{name}")


async def do(integration: KubernetesIntegration, name: str, /, **arguments: JsonValue) -> Any:
    action = named(integration, name)
    return await action.execute(action.read(arguments), attempt())


async def dry_run(integration: KubernetesIntegration, name: str, /, **arguments: JsonValue) -> str:
    action = named(integration, name)
    return await action.preview(action.read(arguments)) or ""


def annotations(cluster: StandInCluster) -> dict[str, str]:
    made: dict[str, str] = cluster.get("Deployment", "web")["spec"]["template"]["metadata"].get(
        "annotations", {}
    )
    return made


class TestRestart:
    @pytest.mark.parametrize(
        ("kind", "name"), [("deployment", "web"), ("statefulset", "db"), ("daemonset", "agent")]
    )
    async def test_gives_its_pods_a_new_template(
        self, cluster: StandInCluster, integration: KubernetesIntegration, kind: str, name: str
    ) -> None:
        result = await do(integration, "restart", namespace="shop", kind=kind, name=name)

        assert len(cluster.changes) == 1
        (sent,) = cluster.sent
        made = sent["spec"]["template"]["metadata"]["annotations"]
        assert made["kubectl.kubernetes.io/restartedAt"].startswith("20")
        assert result.values["generation"] == 2
        assert f"shop/{name} restarts" in result.summary

    async def test_a_dry_run_changes_nothing(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        said = await dry_run(integration, "restart", **WEB)

        assert "Deployment shop/web: 2 of 2 pods ready" in said
        assert "image shop/web:2" in said
        assert annotations(cluster) == {}
        assert any("dryRun=All" in line for line in cluster.requests)

    async def test_a_repeated_attempt_finds_its_own_effect(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        action = named(integration, "restart")
        arguments = action.read(WEB)
        await action.execute(arguments, attempt())
        once = annotations(cluster)
        again = await action.execute(arguments, attempt(repeated=True))
        other = await action.execute(arguments, attempt("run-2/step-1"))

        assert action.idempotency_of(arguments) is Idempotency.KEYED
        assert "already" in again.summary
        assert "already" not in other.summary
        assert len(cluster.changes) == 2
        assert annotations(cluster) != once

    async def test_a_connection_that_breaks_is_no_second_restart(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        cluster.drop_after = "/deployments/web"
        await do(integration, "restart", **WEB)

        first, second = cluster.sent
        assert first == second
        assert cluster.get("Deployment", "web")["metadata"]["generation"] == 2

    async def test_a_paused_one_is_refused(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        cluster.get("Deployment", "web")["spec"]["paused"] = True
        for tried in (dry_run, do):
            with pytest.raises(ActionError, match="paused"):
                await tried(integration, "restart", **WEB)
        assert cluster.changes == []

    async def test_what_is_not_there(self, integration: KubernetesIntegration) -> None:
        with pytest.raises(ActionError, match='"nothing" not found'):
            await do(integration, "restart", namespace="shop", name="nothing")


class TestScale:
    async def test_sets_the_number_of_pods(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        said = await dry_run(integration, "scale", **WEB, replicas=5)
        assert "2 → 5 pods" in said
        assert cluster.get("Deployment", "web")["spec"]["replicas"] == 2

        result = await do(integration, "scale", **WEB, replicas=5)
        assert cluster.get("Deployment", "web")["spec"]["replicas"] == 5
        assert result.values == {"before": 2, "replicas": 5}

    async def test_to_none_is_destructive(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        scale = named(integration, "scale")
        assert scale.risk_of(scale.read({**WEB, "replicas": 1})) is Risk.CHANGE
        assert scale.risk_of(scale.read({**WEB, "replicas": 0})) is Risk.DESTRUCTIVE
        result = await do(integration, "scale", **WEB, replicas=0)
        assert result.values["replicas"] == 0

    async def test_not_beyond_the_setting(self, cluster: StandInCluster) -> None:
        async with connected(cluster, max_replicas=4) as integration:
            for tried in (dry_run, do):
                with pytest.raises(ActionError, match="max_replicas"):
                    await tried(integration, "scale", **WEB, replicas=5)
        assert cluster.changes == []

    async def test_a_daemonset_has_no_number(self, integration: KubernetesIntegration) -> None:
        with pytest.raises(InvalidRequestError, match="kind"):
            named(integration, "scale").read(
                {"namespace": "shop", "kind": "daemonset", "name": "agent", "replicas": 1}
            )


class TestUndo:
    @pytest.mark.parametrize(
        ("kind", "name", "image"),
        [
            ("Deployment", "web", "shop/web:1"),
            ("StatefulSet", "db", "postgres:1"),
            ("DaemonSet", "agent", "agent:1"),
        ],
    )
    async def test_brings_the_revision_before_back(
        self,
        cluster: StandInCluster,
        integration: KubernetesIntegration,
        kind: str,
        name: str,
        image: str,
    ) -> None:
        arguments: dict[str, JsonValue] = {"namespace": "shop", "kind": kind.lower(), "name": name}
        said = await dry_run(integration, "undo", **arguments)
        assert f"→ {image}" in said
        assert cluster.changes == []

        result = await do(integration, "undo", **arguments)
        template = cluster.get(kind, name)["spec"]["template"]
        assert template["spec"]["containers"][0]["image"] == image
        assert "pod-template-hash" not in template["metadata"]["labels"]
        assert result.values["images"] == [image]

    async def test_a_repeated_attempt_does_not_undo_its_undoing(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        undo = named(integration, "undo")
        arguments = undo.read(WEB)
        await undo.execute(arguments, attempt())
        result = await undo.execute(arguments, attempt(repeated=True))

        assert len(cluster.changes) == 1
        assert "already" in result.summary

    async def test_to_a_revision(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        await do(integration, "undo", **WEB, revision=1)
        with pytest.raises(ActionError, match="at revision 2 already"):
            await dry_run(integration, "undo", **WEB, revision=2)
        with pytest.raises(ActionError, match="kept are: 1"):
            await dry_run(integration, "undo", **WEB, revision=7)
        assert len(cluster.changes) == 1

    async def test_another_workloads_revisions_are_not_its_own(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        owner = cluster.get("ReplicaSet", "web-hash1")["metadata"]["ownerReferences"][0]
        owner["uid"] = "of-another"
        with pytest.raises(ActionError, match="kept are: none"):
            await dry_run(integration, "undo", **WEB)


class TestWait:
    async def test_until_it_is_rolled_out(self, integration: KubernetesIntegration) -> None:
        result = await do(integration, "wait", **WEB)
        assert result.summary == "Deployment shop/web is rolled out: 2 of 2 pods are updated"

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            ({"observedGeneration": 0}, "has not seen it"),
            ({"updatedReplicas": 1}, "1 of 2 pods are updated"),
            ({"replicas": 3}, "1 old pods have yet to go"),
            ({"availableReplicas": 0}, "0 of 2 updated pods are available"),
        ],
    )
    async def test_no_longer_than_it_may(
        self,
        cluster: StandInCluster,
        integration: KubernetesIntegration,
        status: dict[str, int],
        said: str,
    ) -> None:
        cluster.get("Deployment", "web")["status"] |= status
        with pytest.raises(ActionError, match=f"not rolled out after 1 s: .*{said}"):
            await do(integration, "wait", **WEB, timeout_s=1)

    async def test_through_a_restart_of_the_api_server(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        cluster.away = 4
        result = await do(integration, "wait", **WEB)
        assert "is rolled out" in result.summary
        assert cluster.away == 0

    async def test_not_for_what_will_not_come(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        cluster.get("Deployment", "web")["status"]["conditions"] = [
            {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": "ReplicaSet web-hash2 has timed out",
            }
        ]
        with pytest.raises(ActionError, match="does not get there: ReplicaSet web-hash2"):
            await do(integration, "wait", **WEB)


class TestNodes:
    async def test_cordon_and_uncordon(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        assert "takes new pods" in await dry_run(integration, "cordon", node="node-1")
        result = await do(integration, "cordon", node="node-1")
        assert cluster.get("Node", "node-1")["spec"]["unschedulable"] is True
        assert result.summary == "Node node-1 takes no new pods"
        await do(integration, "uncordon", node="node-1")
        assert cluster.get("Node", "node-1")["spec"]["unschedulable"] is False

    async def test_drain_evicts_all_but_the_nodes_own(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        mirror = {"kubernetes.io/config.mirror": "x"}
        cluster.add(pod("etcd", "node-1", annotations=mirror))
        said = await dry_run(integration, "drain", node="node-1")
        assert "2 pods would be evicted" in said
        assert "shop/web-a: may go" in said
        assert cluster.changes == []

        result = await do(integration, "drain", node="node-1")
        assert result.values == {"evicted": 2}
        left = [o["metadata"]["name"] for o in cluster.objects.values() if o["kind"] == "Pod"]
        assert sorted(left) == ["agent-a", "etcd", "web-b"]
        assert cluster.get("Node", "node-1")["spec"]["unschedulable"] is True

    async def test_drain_waits_for_a_disruption_budget(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        cluster.protected["web-a"] = 8  # more than the circuit breaker would bear of failures
        said = await dry_run(integration, "drain", node="node-1")
        assert "shop/web-a: not now" in said
        assert "disruption budget" in said

        result = await do(integration, "drain", node="node-1")
        assert result.values == {"evicted": 2}
        assert cluster.protected["web-a"] == 0

    async def test_drain_survives_a_restart_of_the_api_server(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        cluster.stubborn.add("db-0")
        draining = asyncio.create_task(do(integration, "drain", node="node-1"))
        await until(lambda: len(cluster.changes) > 3, "evictions")
        cluster.away = 4
        await until(lambda: cluster.away == 0, "asked while away", 60)
        cluster.stubborn.clear()
        assert (await draining).values == {"evicted": 2}

    async def test_drain_says_what_is_left(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        cluster.protected["web-a"] = None
        with pytest.raises(
            ActionError, match=r"stays cordoned; 1 pods are left: shop/web-a\..*bud"
        ):
            await do(integration, "drain", node="node-1", timeout_s=1)
        assert cluster.get("Node", "node-1")["spec"]["unschedulable"] is True

    @pytest.mark.parametrize(
        ("objection", "argument"),
        [("nobody makes shop/once anew", "force"), ("emptyDir", "delete_emptydir_data")],
    )
    async def test_drain_loses_nothing_unasked(
        self,
        cluster: StandInCluster,
        integration: KubernetesIntegration,
        objection: str,
        argument: str,
    ) -> None:
        owner = None if argument == "force" else cluster.get("StatefulSet", "db")
        cluster.add(pod("once", "node-1", owner, empty_dir=argument != "force"))
        for tried in (dry_run, do):
            with pytest.raises(ActionError, match=objection):
                await tried(integration, "drain", node="node-1")
        assert cluster.changes == []
        result = await do(integration, "drain", node="node-1", **{argument: True})
        assert result.values == {"evicted": 3}

    async def test_a_broken_connection_evicts_nobody_twice(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        cluster.drop_after = "/eviction"
        await do(integration, "drain", node="node-2")
        evictions = [line for line in cluster.changes if line.endswith("/eviction")]
        assert cluster.drop_after is None
        assert len(evictions) == 1

    async def test_only_the_pod_that_was_seen_is_evicted(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        """A StatefulSet's next pod has the same name."""
        await do(integration, "drain", node="node-2")
        eviction = next(sent for sent in cluster.sent if sent.get("kind") == "Eviction")
        assert eviction["deleteOptions"] == {"preconditions": {"uid": "uid-shop-web-b"}}

    async def test_what_has_ended_stops_no_drain(
        self, cluster: StandInCluster, integration: KubernetesIntegration
    ) -> None:
        ended = pod("once", "node-1", empty_dir=True)
        ended["status"]["phase"] = "Succeeded"
        cluster.add(ended)
        result = await do(integration, "drain", node="node-1")
        assert result.values == {"evicted": 3}


class TestLooking:
    async def test_an_object_without_its_secrets(self, integration: KubernetesIntegration) -> None:
        result = await do(integration, "get", kind="deployment", **WEB)
        assert result.values["images"] == ["shop/web:2"]
        assert result.values["rolled_out"] is True
        assert "memory: 128Mi" in result.output
        assert "hunter2" not in result.output

    async def test_a_pod_and_a_node(self, integration: KubernetesIntegration) -> None:
        result = await do(integration, "get", kind="pod", namespace="shop", name="web-b")
        assert result.values == {
            "phase": "Running",
            "ready": True,
            "restarts": 7,
            "node": "node-2",
        }
        result = await do(integration, "get", kind="node", name="node-1")
        assert result.values == {"ready": True, "unschedulable": False}

    async def test_a_list(self, integration: KubernetesIntegration) -> None:
        result = await do(integration, "get", kind="pod", namespace="shop")
        assert result.values["names"] == ["web-a", "web-b", "db-0", "agent-a"]

    @pytest.mark.parametrize("kind", ["secret", "configmap", "../../secrets"])
    async def test_no_kind_that_holds_secrets(
        self, integration: KubernetesIntegration, kind: str
    ) -> None:
        with pytest.raises(InvalidRequestError, match="kind"):
            named(integration, "get").read({"kind": kind, "namespace": "shop", "name": "x"})

    async def test_events(self, integration: KubernetesIntegration) -> None:
        result = await do(integration, "events", namespace="shop")
        first, second = result.output.splitlines()
        assert "ScalingReplicaSet Deployment/web" in first
        assert "Warning BackOff Pod/web-b: Back-off restarting failed container (x3)" in second
        result = await do(integration, "events", namespace="shop", kind="pod", name="web-b")
        assert result.values == {"count": 1, "reasons": ["BackOff"]}
        result = await do(integration, "events", namespace="shop", warnings_only=True)
        assert result.values["count"] == 1

    async def test_logs(self, integration: KubernetesIntegration) -> None:
        result = await do(integration, "logs", namespace="shop", name="web-a", lines=1)
        assert result.output == "--- shop/web-a\ntwo"
        result = await do(integration, "logs", kind="deployment", **WEB)
        assert result.output == "--- shop/web-b\nthree\n--- shop/web-a\none\ntwo"
        result = await do(integration, "logs", namespace="shop", name="web-b", previous=True)
        assert "it crashed" in result.output


class TestLimits:
    async def test_other_namespaces_and_nodes_are_left_alone(self, cluster: StandInCluster) -> None:
        async with connected(cluster, namespaces=["team-*"], nodes=["pool-*"]) as integration:
            for name, more in (
                ("restart", {}),
                ("scale", {"replicas": 1}),
                ("undo", {}),
                ("wait", {}),
                ("logs", {}),
                ("get", {"kind": "deployment"}),
            ):
                with pytest.raises(ActionError, match=r"settings\.namespaces.*team-\*"):
                    await do(integration, name, **WEB, **more)
            for name in ("cordon", "uncordon", "drain"):
                with pytest.raises(ActionError, match=r"settings\.nodes.*pool-\*"):
                    await do(integration, name, node="node-1")
                with pytest.raises(ActionError, match=r"settings\.nodes.*pool-\*"):
                    await dry_run(integration, name, node="node-1")
        assert cluster.requests == []

    async def test_other_nodes_are_not_listed(self, cluster: StandInCluster) -> None:
        async with connected(cluster, nodes=["*-2"]) as integration:
            result = await do(integration, "get", kind="node")
        assert result.values == {"names": ["node-2"], "count": 1}

    async def test_a_drain_stays_within_the_namespaces(self, cluster: StandInCluster) -> None:
        async with connected(cluster, namespaces=["team-*"]) as integration:
            with pytest.raises(ActionError, match="namespace shop is not among"):
                await do(integration, "drain", node="node-1")
        assert cluster.changes == []

    @pytest.mark.parametrize(
        "name", ["../secrets", "a/b", "a?x=1", "A", "", ".", "..", "-a", "a" * 254, "a\n", "a%2f"]
    )
    async def test_a_name_is_nothing_else(
        self, integration: KubernetesIntegration, name: str
    ) -> None:
        restart = named(integration, "restart")
        for arguments in ({"namespace": "shop", "name": name}, {"namespace": name, "name": "web"}):
            with pytest.raises(InvalidRequestError):
                restart.read(arguments)

    async def test_a_wrong_token(self, cluster: StandInCluster) -> None:
        async with connected(cluster, token="another") as integration:
            with pytest.raises(ActionError, match="does not take the credential"):
                await do(integration, "restart", **WEB)
            health = await integration.health()
            assert not health.ready

    async def test_health(self, integration: KubernetesIntegration) -> None:
        health = await integration.health()
        assert (health.ready, health.detail) == (True, "Kubernetes v1.27.0 answers")

    async def test_every_action_says_what_it_will_do(
        self, integration: KubernetesIntegration
    ) -> None:
        arguments: dict[str, dict[str, JsonValue]] = {
            "get": {"kind": "pod", "namespace": "shop", "name": "web-a"},
            "events": {"namespace": "shop"},
            "scale": {**WEB, "replicas": 3},
        }
        for action in integration.actions():
            short = action.name.removeprefix("kubernetes.")
            node = {"node": "node-1"}
            given = arguments.get(short, node if short in {"cordon", "uncordon", "drain"} else WEB)
            said = action.describe(action.read(given))
            assert "\n" not in said
            assert any(str(value) in said for value in given.values())


class TestTheStandIn:
    """It would notice what the real server refuses."""

    @pytest.mark.parametrize(
        ("method", "path", "body", "said"),
        [
            ("PATCH", "web", {"spec": {"replica": 1}}, "Deployment has no .spec.replica"),
            ("PATCH", "web", {"spec": {"replicas": "1"}}, "'1' is not of type 'integer'"),
            ("PATCH", "web/scale", {"spec": {"count": 1}}, "Scale has no .spec.count"),
            ("GET", "web/replicas", None, "PathNotFound"),
            ("POST", "web", {}, "OperationNotFound"),
        ],
    )
    async def test_what_kubernetes_would_not_take(
        self, cluster: StandInCluster, method: str, path: str, body: JsonValue, said: str
    ) -> None:
        url = f"{cluster.url}/apis/apps/v1/namespaces/shop/deployments/{path}"
        headers = {
            "Authorization": f"Bearer {TOKEN}",
            "Content-Type": "application/merge-patch+json",
        }
        data = None if body is None else json.dumps(body)
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=data, headers=headers),
        ):
            assert said in "\n".join(cluster.violations)
        cluster.violations.clear()
