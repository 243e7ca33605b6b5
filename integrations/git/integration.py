"""The kind `git`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import Field

from core.records import Frozen
from core.security.secrets import Secrets
from core.state import AIIntegration
from core.workflows.actions import Action, ActionError
from integrations.base import (
    Health,
    Integration,
    check_secret_names,
    read_secrets,
    read_settings,
)
from integrations.git.history import CreateTag, ReadLog
from integrations.git.repositories import Repositories
from integrations.git.repository import Repository
from integrations.git.revert import RevertCommit
from integrations.git.settings import RepositorySettings
from integrations.git.webhook import GitWebhook
from integrations.standardwebhooks.signature import message_key

_log = logging.getLogger(__name__)


class GitSettings(Frozen):
    """Settings of the kind `git`: the repositories, by the name that workflows use."""

    repositories: dict[str, RepositorySettings] = Field(min_length=1, max_length=200)


class GitIntegration(Integration):
    """Reverts, tags and reads on repositories of this machine, by the real `git`.

    Secret: `webhook`, with which a Git server's hook signs what is pushed (left out: no webhooks
    are taken).
    """

    kind: ClassVar[str] = "git"

    def __init__(
        self, integration_id: str, settings: GitSettings, webhook: GitWebhook | None
    ) -> None:
        self.id = integration_id
        self.webhook = webhook
        self._repositories = Repositories(
            f"integrations/{integration_id}.yaml",
            {name: Repository(name, found) for name, found in settings.repositories.items()},
        )

    @classmethod
    def create(cls, record: AIIntegration, secrets: Secrets) -> Self:
        """See `Integration.create`."""
        check_secret_names(record, frozenset({"webhook"}))
        where = f"integrations/{record.id}.yaml: secrets.webhook"
        keys = tuple(
            message_key(secret, where) for secret in read_secrets(record, secrets, "webhook")
        )
        webhook = GitWebhook(record.id, keys) if keys else None
        return cls(record.id, read_settings(record, GitSettings), webhook)

    def actions(self) -> Sequence[Action[Any]]:
        """See `Integration.actions`."""
        return (
            RevertCommit(self._repositories),
            CreateTag(self._repositories),
            ReadLog(self._repositories),
        )

    async def start(self) -> None:
        """See `Integration.start`. Cleans up after processes that were killed."""
        for repository in self._repositories.all():
            try:
                await repository.sweep()
            except ActionError as error:
                _log.warning("git repository %s: %s", repository.name, error)

    async def health(self) -> Health:
        """See `Integration.health`. Every repository is there and has its branch."""
        problems = []
        for repository in self._repositories.all():
            try:
                await repository.check()
            except ActionError as error:
                problems.append(str(error))
        return Health(ready=not problems, detail=" ".join(problems) or "all branches are there")
