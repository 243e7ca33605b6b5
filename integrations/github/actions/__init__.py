"""What workflows can do on GitHub.

Token permissions, of the repositories concerned: Actions and Issues read and write; for `merge`
and `revert` Contents and Pull requests read and write, Checks and Commit statuses read; for
`deployment_status` Deployments read and write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.workflows.actions import Action
from integrations.github.actions.deployments import SetDeploymentStatus
from integrations.github.actions.issues import CommentOnIssue, CreateIssue
from integrations.github.actions.pulls import MergePullRequest
from integrations.github.actions.revert import RevertPullRequest
from integrations.github.actions.runs import DispatchWorkflow, RerunWorkflow, WaitForRun
from integrations.github.actions.scope import Scope
from integrations.github.client import GitHubClient


def all_actions(client: GitHubClient, scope: Scope) -> Sequence[Action[Any]]:
    """One of each."""
    return (
        RerunWorkflow(client, scope),
        DispatchWorkflow(client, scope),
        WaitForRun(client, scope),
        MergePullRequest(client, scope),
        RevertPullRequest(client, scope),
        CreateIssue(client, scope),
        CommentOnIssue(client, scope),
        SetDeploymentStatus(client, scope),
    )


__all__ = ["Scope", "all_actions"]
