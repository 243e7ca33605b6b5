"""The integration `github`, connected to a server of the test's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionRegistry
from integrations.github import GitHubIntegration


@asynccontextmanager
async def connected(
    url: str, token: str | None, **settings: Any
) -> AsyncIterator[GitHubIntegration]:
    """Started; `token` None where none is configured."""
    record = AIIntegration(
        id="github",
        kind="github",
        settings={"api_url": url, **settings},
        secrets={"token": "TOKEN"} if token else {},
    )
    integration = GitHubIntegration.create(record, Secrets({"TOKEN": token} if token else {}))
    await integration.start()
    yield integration
    await integration.close()


def action(integration: GitHubIntegration, name: str) -> Action[Any]:
    """Its action of that name."""
    return ActionRegistry(integration.actions()).get(name)
