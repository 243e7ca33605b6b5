"""What workflows can do on GitLab.

Token: one of the project or group, with the scope `api` and the role Developer (Maintainer where
the branch is protected).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.workflows.actions import Action
from integrations.calling import SystemClient
from integrations.gitlab.actions.jobs import PlayJob
from integrations.gitlab.actions.merge import MergeMergeRequest
from integrations.gitlab.actions.pipelines import CancelPipeline, RetryPipeline, WaitForPipeline
from integrations.gitlab.actions.scope import Scope


def all_actions(client: SystemClient, scope: Scope) -> Sequence[Action[Any]]:
    """One of each."""
    return (
        RetryPipeline(client, scope),
        CancelPipeline(client, scope),
        WaitForPipeline(client, scope),
        PlayJob(client, scope),
        MergeMergeRequest(client, scope),
    )


__all__ = ["Scope", "all_actions"]
