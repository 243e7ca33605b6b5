"""Where the cluster is and with which credential: kubeconfig files, addresses, service accounts."""

import base64
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import JsonValue

from core.errors import ConfigurationError
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import ActionError
from integrations.calling import SystemClient
from integrations.kubernetes import KubernetesIntegration
from integrations.kubernetes.access import in_cluster
from integrations.kubernetes.client import KubernetesClient
from integrations.kubernetes.payloads import Version
from tests.support.certificates import self_signed
from tests.support.kubernetes_api import TOKEN, served, shop

Write = Callable[..., Path]


def create(token: str | None = None, **settings: JsonValue) -> KubernetesIntegration:
    secrets = {"token": "TOKEN"} if token else {}
    record = AIIntegration(id="k8s", kind="kubernetes", settings=settings, secrets=secrets)
    return KubernetesIntegration.create(record, Secrets({"TOKEN": token} if token else {}))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority's certificate that is also a server's and a client's, with its key."""
    folder = tmp_path_factory.mktemp("keys")
    self_signed(folder)
    return folder


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Write:
    """Write a kubeconfig file; JSON is YAML."""

    def write(server: str, user: dict[str, Any], **cluster: Any) -> Path:
        path = tmp_path / "config"
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "prod",
            "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
        path.write_text(json.dumps(tree))
        return path

    return write


async def asked(integration: KubernetesIntegration) -> tuple[bool, str]:
    await integration.start()
    try:
        health = await integration.health()
        return health.ready, health.detail
    finally:
        await integration.close()


async def test_a_kubeconfig_with_a_token(kubeconfig: Write) -> None:
    async with served(shop()) as cluster:
        path = kubeconfig(cluster.url, {"token": TOKEN})
        ready, detail = await asked(create(kubeconfig=str(path)))
    assert (ready, detail) == (True, "Kubernetes v1.27.0 answers")


async def test_a_token_in_a_file_is_read_again(kubeconfig: Write, tmp_path: Path) -> None:
    async with served(shop()) as cluster:
        token = tmp_path / "token"
        token.write_text("yesterdays")
        integration = create(kubeconfig=str(kubeconfig(cluster.url, {"tokenFile": "token"})))
        await integration.start()
        before = await integration.health()
        token.write_text(f"{TOKEN}\n")
        after = await integration.health()
        await integration.close()
    assert (before.ready, after.ready) == (False, True)


@pytest.mark.parametrize("inline", [True, False])
async def test_a_client_certificate(kubeconfig: Write, keys: Path, inline: bool) -> None:
    """Against a server that asks for one."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=keys / "cert.pem")
    tls.load_cert_chain(keys / "cert.pem", keys / "key.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()

    async def version(request: web.Request) -> web.Response:
        return web.json_response({"gitVersion": "v9"})

    app.router.add_get("/version/", version)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    names = {"certificate": "cert.pem", "key": "key.pem"}
    if inline:
        data = {n: base64.b64encode((keys / f).read_bytes()).decode() for n, f in names.items()}
        user = {f"client-{name}-data": value for name, value in data.items()}
        authority = {"certificate-authority-data": data["certificate"]}
    else:
        user = {f"client-{name}": str(keys / file) for name, file in names.items()}
        authority = {"certificate-authority": str(keys / "cert.pem")}
    try:
        server = f"https://127.0.0.1:{runner.addresses[0][1]}"
        known = await asked(create(kubeconfig=str(kubeconfig(server, user, **authority))))
        nobody = await asked(create(kubeconfig=str(kubeconfig(server, {}, **authority))))
        trusts_none = await asked(create(kubeconfig=str(kubeconfig(server, user))))
    finally:
        await runner.cleanup()
    assert known == (True, "Kubernetes v9 answers")
    assert nobody[0] is False
    assert trusts_none[0] is False
    assert "certificate" in trusts_none[1]


@pytest.mark.parametrize(
    ("user", "cluster", "said"),
    [
        ({"exec": {"command": "sh"}}, {}, "plugin .* not run"),
        ({"auth-provider": {"name": "gcp"}}, {}, "plugin"),
        ({"token": "x"}, {"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
        ({"token": "x"}, {"server": "http://k8s.example"}, "not encrypted"),
        (
            {"token": "x"},
            {"certificate-authority": "nowhere"},
            "nowhere is no certificate: No such file",
        ),
        ({"token": "x"}, {"certificate-authority-data": "%"}, "certificate in it cannot be used"),
    ],
)
def test_a_kubeconfig_that_is_refused(
    kubeconfig: Write, user: dict[str, Any], cluster: dict[str, Any], said: str
) -> None:
    given = dict(cluster)
    path = kubeconfig(given.pop("server", "https://k8s.example"), user, **given)
    with pytest.raises(ConfigurationError, match=rf"^integrations/k8s\.yaml: settings\..*{said}"):
        create(kubeconfig=str(path))


def test_a_context_that_is_not_there(kubeconfig: Write) -> None:
    path = kubeconfig("https://k8s.example", {"token": "x"})
    with pytest.raises(ConfigurationError, match="no context other; it has: prod"):
        create(kubeconfig=str(path), context="other")


@pytest.mark.parametrize("text", ["", "[]", "{", "clusters: 1", "a: &a [*a]"])
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="kubeconfig"):
        create(kubeconfig=str(path))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "https://k8s.example"}, "needs a credential"),
        ({"url": "http://k8s.example"}, "not encrypted"),
        ({"url": "ftp://k8s.example"}, "url"),
        ({"url": "https://a:b@k8s.example"}, "url"),
        ({"url": "https://k8s.example", "kubeconfig": "x"}, "either url or kubeconfig"),
        ({"ca": "x"}, "ca goes with url"),
        ({"context": "x"}, "context goes with kubeconfig"),
        ({"kubeconfig": "nowhere"}, "cannot be read"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, JsonValue], said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"integrations/k8s\.yaml.*{said}"):
        create(**settings)


def test_a_token_goes_with_an_address() -> None:
    with pytest.raises(ConfigurationError, match="has no secret token"):
        create(token="x")


async def test_a_proxy_on_this_machine_has_the_credential() -> None:
    """`kubectl proxy` listens without one."""
    cluster = shop()
    async with served(cluster):
        ready, detail = await asked(create(url=cluster.url))
    assert not ready
    assert "credential" in detail  # the stand-in is no proxy; what counts is that it was asked
    assert cluster.requests == ["GET /version/"]


async def test_the_service_account_of_the_pod(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "ca.crt").write_bytes((keys / "cert.pem").read_bytes())
    access = in_cluster(tmp_path)
    assert access.url == "https://kubernetes.default.svc"
    assert access.tls is not None
    async with served(shop()) as cluster:
        system = SystemClient("k8s", "Kubernetes", cluster.url, {})
        client = KubernetesClient(system, access.token_file)
        await client.start()
        with pytest.raises(ActionError, match=r"no usable token.*set `url` or"):
            await client.get("/version/", Version)
        (tmp_path / "token").write_text(TOKEN)
        version = await client.get("/version/", Version)
        await client.close()
    assert version.git_version == "v1.27.0"
