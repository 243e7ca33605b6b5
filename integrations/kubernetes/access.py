"""Where the cluster is and with which credential: a service account inside it, a kubeconfig file,
or an address with a token.

Plugins that a kubeconfig would have run (`exec`, `auth-provider`) are not: a program that a file
names is no way to configure this service. A service account's token does the same.
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field, SecretStr, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from yarl import URL

from core.errors import ConfigurationError

P = TypeVar("P", bound="_Named")

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's credential."""
IN_CLUSTER_URL = "https://kubernetes.default.svc"
_MAX_BYTES = 1024 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Access:
    """How the API server is reached.

    Attributes:
        token_file: read for every call, since Kubernetes renews it; None where there is `token`,
            or a client certificate in `tls`.
    """

    url: str
    token: SecretStr | None = None
    token_file: Path | None = None
    tls: ssl.SSLContext | None = None


class _Cluster(BaseModel):
    server: str
    authority: Path | None = Field(default=None, alias="certificate-authority")
    authority_data: str | None = Field(default=None, alias="certificate-authority-data")
    insecure: bool = Field(default=False, alias="insecure-skip-tls-verify")


class _User(BaseModel):
    token: SecretStr | None = None
    token_file: Path | None = Field(default=None, alias="tokenFile")
    certificate: Path | None = Field(default=None, alias="client-certificate")
    certificate_data: str | None = Field(default=None, alias="client-certificate-data")
    key: Path | None = Field(default=None, alias="client-key")
    key_data: SecretStr | None = Field(default=None, alias="client-key-data")
    exec: object = None
    provider: object = Field(default=None, alias="auth-provider")


class _Context(BaseModel):
    cluster: str
    user: str


class _Named(BaseModel):
    name: str


class _NamedCluster(_Named):
    cluster: _Cluster


class _NamedUser(_Named):
    user: _User


class _NamedContext(_Named):
    context: _Context


class _Kubeconfig(BaseModel):
    current_context: str = Field(default="", alias="current-context")
    clusters: tuple[_NamedCluster, ...] = ()
    users: tuple[_NamedUser, ...] = ()
    contexts: tuple[_NamedContext, ...] = ()


def in_cluster(folder: Path = SERVICE_ACCOUNT) -> Access:
    """As the service account of the pod that this runs in."""
    authority = folder / "ca.crt"
    tls = ssl.create_default_context(cafile=authority) if authority.is_file() else None
    return Access(IN_CLUSTER_URL, token_file=folder / "token", tls=tls)


def by_address(url: str, token: SecretStr | None, authority: Path | None) -> Access:
    """With a token of a service account.

    Raises:
        ConfigurationError: the token would go over the network in the clear, or there is none, or
            the authority's file is none.
    """
    address = URL(url)
    near = address.host in _LOOPBACK
    if address.scheme != "https" and not near:
        raise ConfigurationError(f"url: {url} is not encrypted; write https://.")
    if token is None and not (near and address.scheme == "http"):
        raise ConfigurationError(
            "url needs a credential: add `token: NAME` under secrets, where NAME is the variable "
            "that holds a service account's token."
        )
    return Access(url, token=token, tls=_trusting(authority) if authority else None)


def by_kubeconfig(path: Path, context: str | None) -> Access:
    """As a kubeconfig file says, by one of its contexts.

    Raises:
        ConfigurationError: the file cannot be read, or says what is not supported.
    """
    config = _read(path)
    chosen = _find("context", config.contexts, context or config.current_context, path).context
    cluster = _find("cluster", config.clusters, chosen.cluster, path).cluster
    user = _find("user", config.users, chosen.user, path).user
    if cluster.insecure:
        raise ConfigurationError(
            f"kubeconfig: {path}: insecure-skip-tls-verify is not supported: give the cluster's "
            "certificate-authority."
        )
    if user.exec is not None or user.provider is not None:
        raise ConfigurationError(
            f"kubeconfig: {path}: the user {chosen.user} has a plugin (exec or auth-provider), "
            "which is not run: give a service account's token."
        )
    if URL(cluster.server).scheme != "https" and URL(cluster.server).host not in _LOOPBACK:
        raise ConfigurationError(f"kubeconfig: {path}: {cluster.server} is not encrypted.")
    token_file = path.parent / user.token_file if user.token_file else None
    return Access(cluster.server, user.token, token_file, _tls(path, cluster, user))


def _read(path: Path) -> _Kubeconfig:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigurationError(f"kubeconfig: {path} is larger than {_MAX_BYTES} bytes.")
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return _Kubeconfig.model_validate(tree)
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ConfigurationError(f"kubeconfig: {path} cannot be read: {error}.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ConfigurationError(f"kubeconfig: {path}: {problems}.") from error


def _find(what: str, among: tuple[P, ...], name: str, path: Path) -> P:
    for one in among:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in among) or "none"
    raise ConfigurationError(
        f"kubeconfig: {path} has no {what} {name or '(current-context is empty)'}; it has: {known}."
    )


def _tls(path: Path, cluster: _Cluster, user: _User) -> ssl.SSLContext | None:
    try:
        if cluster.authority_data:
            data = base64.b64decode(cluster.authority_data, validate=True).decode("ascii")
            tls = ssl.create_default_context(cadata=data)
        elif cluster.authority:
            tls = _trusting(path.parent / cluster.authority)
        else:
            tls = ssl.create_default_context()
        if user.certificate_data and user.key_data:
            _load(tls, user.certificate_data, user.key_data)
        elif user.certificate and user.key:
            tls.load_cert_chain(path.parent / user.certificate, path.parent / user.key)
    except (OSError, ssl.SSLError, binascii.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"kubeconfig: {path}: a certificate in it cannot be used: {error}."
        ) from error
    return tls


def _load(tls: ssl.SSLContext, certificate: str, key: SecretStr) -> None:
    """OpenSSL takes a chain from files only; this one is ours alone and gone at once."""
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(base64.b64decode(certificate, validate=True) + b"\n")
        pem.write(base64.b64decode(key.get_secret_value(), validate=True))
        pem.flush()
        tls.load_cert_chain(pem.name)


def _trusting(authority: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca: {authority} is no certificate: {error.strerror}.") from error
