"""Our actions beside `kubectl`, each on a cluster of its own: they leave the same behind.

It also shows that the stand-in is one that Kubernetes' own client takes for an API server.
"""

import asyncio
import copy
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import ActionRegistry
from integrations.kubernetes import KubernetesIntegration
from tests.support.certificates import self_signed, serving
from tests.support.intake import attempt
from tests.support.kubernetes_api import TOKEN, StandInCluster, served, shop

WEB: dict[str, JsonValue] = {"namespace": "shop", "name": "web"}
_OURS = ("countersign/restart-key", "countersign/undo-key")
_RESTARTED = "kubectl.kubernetes.io/restartedAt"


class Kubectl:
    """`kubectl` with a home of its own."""

    def __init__(self, cluster: StandInCluster, home: Path) -> None:
        self.cluster = cluster
        self._home = home

    async def __call__(self, command: str) -> str:
        program = shutil.which("kubectl")
        assert program, "kubectl is missing: install the package kubernetes-client"
        process = await asyncio.create_subprocess_exec(
            program,
            f"--server={self.cluster.url}",
            f"--token={TOKEN}",
            f"--certificate-authority={self._home / 'cert.pem'}",
            "--request-timeout=30s",
            *command.split(),
            env={"HOME": str(self._home), "PATH": os.environ["PATH"], "KUBECONFIG": ""},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, said.decode()
        return said.decode()


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    """It sends a token over TLS only."""
    certificate, key = self_signed(tmp_path)
    async with served(shop(), serving(certificate, key)) as cluster:
        yield Kubectl(cluster, tmp_path)


async def by_us(name: str, /, **arguments: JsonValue) -> tuple[StandInCluster, Any]:
    """The cluster after our action, and what it said."""
    async with served(shop()) as cluster:
        record = AIIntegration(
            id="kubernetes",
            kind="kubernetes",
            settings={"url": cluster.url, "poll_s": 0.02},
            secrets={"token": "TOKEN"},
        )
        integration = KubernetesIntegration.create(record, Secrets({"TOKEN": TOKEN}))
        await integration.start()
        try:
            action = ActionRegistry(integration.actions()).get(f"kubernetes.{name}")
            return cluster, await action.execute(action.read(arguments), attempt())
        finally:
            await integration.close()


def left_behind(cluster: StandInCluster) -> dict[str, Any]:
    """The objects, without what is ours or the clock's."""
    objects = copy.deepcopy(cluster.objects)
    for one in objects.values():
        for part in (one, one.get("spec", {}).get("template", {})):
            metadata = part.get("metadata", {})
            annotations = metadata.get("annotations", {})
            for name in _OURS:
                annotations.pop(name, None)
            if _RESTARTED in annotations:
                annotations[_RESTARTED] = "then"
            if not annotations:
                metadata.pop("annotations", None)
            if metadata.get("creationTimestamp", "") is None:
                del metadata["creationTimestamp"]
    return objects


@pytest.mark.parametrize(
    ("command", "name", "arguments"),
    [
        ("rollout restart deployment/web -n shop", "restart", WEB),
        (
            "rollout restart statefulset/db -n shop",
            "restart",
            {"namespace": "shop", "kind": "statefulset", "name": "db"},
        ),
        ("rollout undo deployment/web -n shop", "undo", WEB),
        ("rollout undo deployment/web -n shop --to-revision=1", "undo", {**WEB, "revision": 1}),
        (
            "rollout undo daemonset/agent -n shop",
            "undo",
            {"namespace": "shop", "kind": "daemonset", "name": "agent"},
        ),
        (
            "rollout undo statefulset/db -n shop",
            "undo",
            {"namespace": "shop", "kind": "statefulset", "name": "db"},
        ),
        ("scale deployment/web -n shop --replicas=5", "scale", {**WEB, "replicas": 5}),
        ("scale deployment/web -n shop --replicas=0", "scale", {**WEB, "replicas": 0}),
        ("cordon node-1", "cordon", {"node": "node-1"}),
        ("drain node-1 --ignore-daemonsets", "drain", {"node": "node-1"}),
    ],
)
async def test_leaves_the_same_behind(
    kubectl: Kubectl, command: str, name: str, arguments: dict[str, JsonValue]
) -> None:
    await kubectl(command)
    ours, _ = await by_us(name, **arguments)

    assert left_behind(ours) == left_behind(kubectl.cluster)
    assert left_behind(ours) != left_behind(shop())


async def test_waits_for_the_same(kubectl: Kubectl) -> None:
    said = await kubectl("rollout status deployment/web -n shop --watch=false")
    _, result = await by_us("wait", **WEB)
    assert "successfully rolled out" in said
    assert "is rolled out" in result.summary


async def test_reads_the_same_log(kubectl: Kubectl) -> None:
    said = await kubectl("logs web-a -n shop --tail=1")
    _, result = await by_us("logs", namespace="shop", name="web-a", lines=1)
    assert result.output == f"--- shop/web-a\n{said.rstrip()}"
