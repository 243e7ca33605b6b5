"""Calls of the Kubernetes API, through the client that all systems share.

No library: `kubernetes-asyncio` 36 is 48 MB of generated code, takes 39 MB of memory to import and
brings neither retries nor a circuit breaker; a dozen paths are needed here.
https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, JsonValue, SecretStr

from core.errors import ConfigurationError
from core.workflows.actions import ActionError
from integrations.base import Health
from integrations.calling import RefusedError, SystemClient
from integrations.credentials import header_value
from integrations.kubernetes.payloads import Raw, Version
from integrations.kubernetes.resources import POD

P = TypeVar("P", bound=BaseModel)

PatchType = Literal["strategic-merge-patch", "merge-patch", "json-patch"]
_MANAGER = "countersign"
"""Who changed a field, in the object's `managedFields`."""
_ACCEPT = "application/json, */*"  # logs are text


class KubernetesClient:
    """Calls one API server.

    Args:
        token_file: read for each call, since Kubernetes renews what is in it; None where the
            credential is the client's own.
    """

    def __init__(self, client: SystemClient, token_file: Path | None) -> None:
        self._client = client
        self._token_file = token_file

    async def start(self) -> None:
        """Open the connection pool."""
        await self._client.start()

    async def close(self) -> None:
        """Close the connection pool."""
        await self._client.close()

    async def health(self) -> Health:
        """Ask for the version, which costs the server nothing; never raises."""
        try:
            version = await self.get("/version/", Version)
        except ActionError as error:
            return Health(ready=False, detail=str(error))
        return Health(ready=True, detail=f"Kubernetes {version.git_version} answers")

    async def get(self, path: str, payload: type[P], params: Mapping[str, str] | None = None) -> P:
        """One object or list.

        Raises:
            ActionError: there is none; the message says why.
        """
        answer = await self._client.get(path, params, self._headers())
        return answer.read(payload)

    async def find(self, path: str, payload: type[P]) -> P | None:
        """As `get`; None where there is no such object."""
        try:
            return await self.get(path, payload)
        except RefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def raw(self, path: str) -> Raw:
        """One object with everything in it.

        Raises:
            ActionError: there is none; the message says why.
        """
        value = (await self._client.get(path, headers=self._headers())).json()
        if not isinstance(value, dict):
            raise ActionError("Kubernetes' answer is not an object.")
        return value

    async def text(self, path: str, params: Mapping[str, str]) -> str:
        """A text, such as a log.

        Raises:
            ActionError: there is none; the message says why.
        """
        return (await self._client.get(path, params, self._headers())).text()

    async def patch(
        self,
        path: str,
        patch: JsonValue,
        payload: type[P],
        *,
        dry: bool = False,
        how: PatchType = "strategic-merge-patch",
    ) -> P:
        """Change an object to what `patch` says; saying it twice has the effect of once.

        Args:
            dry: the server does all but keep it (admission and validation included).

        Raises:
            ActionError: it was not done.
        """
        answer = await self._client.call(
            "PATCH",
            path,
            params={"fieldManager": _MANAGER, **({"dryRun": "All"} if dry else {})},
            data=patch,
            headers={**self._headers(), "Content-Type": f"application/{how}+json"},
            idempotent=True,
        )
        return answer.read(payload)

    async def evict(self, namespace: str, name: str, uid: str, *, dry: bool = False) -> None:
        """Ask a pod to go, as far as its disruption budgets allow it.

        Args:
            uid: of the pod that is meant; another of the same name stays.

        Raises:
            RefusedError: it is gone already (404), or another is there now (409).
            UnavailableError: a budget forbids it now.
            OutcomeUnknownError: it may have been done.
        """
        options: Raw = {"preconditions": {"uid": uid}}
        await self._client.call(
            "POST",
            POD.path(namespace, name, "eviction"),
            params={"dryRun": "All"} if dry else {},
            data={
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": namespace},
                "deleteOptions": options,
            },
            headers=self._headers(),
            idempotent=False,
        )

    def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {"Accept": _ACCEPT}
        try:
            token = SecretStr(self._token_file.read_text(encoding="ascii").strip())
            bearer = header_value(token, str(self._token_file))
        except (OSError, UnicodeDecodeError, ConfigurationError) as error:
            raise ActionError(
                f"There is no usable token in {self._token_file}: outside a cluster, set `url` or "
                "`kubeconfig` in the integration's file."
            ) from error
        return {"Accept": _ACCEPT, "Authorization": f"Bearer {bearer}"}
