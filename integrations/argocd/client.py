"""Argo CD's API, through the client that all systems share.

No library: PyPI's clients are generated code of 2021 and 2022; three paths are needed here.
https://argo-cd.readthedocs.io/en/stable/developer-guide/api-docs/
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from fnmatch import fnmatchcase

from pydantic import JsonValue

from core.errors import CountersignError
from core.workflows.actions import ActionError, OutcomeUnknownError
from integrations.argocd.payloads import Application
from integrations.calling import SystemClient, UnavailableError

FINISHED = frozenset({"Succeeded", "Failed", "Error"})


class ArgoCD:
    """One Argo CD, and which of its applications may be touched.

    Args:
        applications: patterns of names; none: all that the token may.
        projects: patterns of their projects, likewise.
        web_url: where people open it.
        poll_s: seconds between two looks while something is waited for.
    """

    def __init__(
        self,
        integration_id: str,
        client: SystemClient,
        applications: tuple[str, ...],
        projects: tuple[str, ...],
        web_url: str,
        poll_s: float,
    ) -> None:
        self._file = f"integrations/{integration_id}.yaml"
        self._client = client
        self._applications = applications
        self._projects = projects
        self._web_url = web_url.rstrip("/")
        self._poll_s = poll_s

    async def get(self, name: str, namespace: str | None, *, refresh: bool = False) -> Application:
        """An application, in scope.

        Args:
            refresh: compare it with its repository first.

        Raises:
            ActionError: there is none, or it is not in scope.
        """
        if self._applications and not any(fnmatchcase(name, p) for p in self._applications):
            raise ActionError(
                f"The application {name} is not among those that settings.applications in "
                f"{self._file} allows: {', '.join(self._applications)}."
            )
        params = {"appNamespace": namespace} if namespace else {}
        if refresh:
            params["refresh"] = "normal"
        answer = await self._client.get(f"/api/v1/applications/{name}", params)
        app = answer.read(Application)
        project = app.spec.project
        if self._projects and not any(fnmatchcase(project, p) for p in self._projects):
            raise ActionError(
                f"The application {name} is in the project {project}, which settings.projects in "
                f"{self._file} does not allow: {', '.join(self._projects)}."
            )
        return app

    async def ask(self, app: Application, verb: str, request: dict[str, JsonValue]) -> None:
        """Start an operation. Not sent again by itself: the first may be in progress by then.

        Args:
            verb: `sync` or `rollback`.

        Raises:
            ActionError: it was not started.
            OutcomeUnknownError: it may have been.
        """
        placed: dict[str, JsonValue] = {"name": app.metadata.name}
        if app.metadata.namespace:
            placed["appNamespace"] = app.metadata.namespace
        await self._client.call(
            "POST",
            f"/api/v1/applications/{app.metadata.name}/{verb}",
            data={**request, **placed},
            idempotent=False,
        )

    async def until(
        self,
        app: Application,
        done: Callable[[Application], bool],
        timeout_s: float,
        what: str,
        unsure: type[CountersignError] = OutcomeUnknownError,
    ) -> Application:
        """Look again and again; an Argo CD that is away for a moment is asked again.

        Args:
            done: whether it is what is waited for.
            what: is waited for, in words.

        Raises:
            unsure: the time is up, or it cannot be looked at any more.
        """
        deadline = time.monotonic() + timeout_s
        away = ""
        while True:
            try:
                now = await self.get(app.metadata.name, app.metadata.namespace or None)
                if done(now):
                    return now
                away = ""
            except UnavailableError as error:
                away = f" {error}"
            except ActionError as error:
                raise unsure(f"{app.title}: how {what} ended cannot be seen: {error}") from error
            if time.monotonic() > deadline:
                raise unsure(
                    f"{app.title}: {what} is not over after {timeout_s:g} s: {self.link(app)}{away}"
                )
            await asyncio.sleep(self._poll_s)

    def link(self, app: Application) -> str:
        """Where people look at it."""
        return f"{self._web_url}/applications/{app.title}"
