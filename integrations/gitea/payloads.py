"""The parts that we use of what Gitea and Forgejo post.

https://docs.gitea.com/usage/repository/webhooks, https://forgejo.org/docs/latest/user/webhooks/;
the fields are those of `modules/structs/hook.go` in both.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from integrations.webhooks import Payload


class Account(Payload):
    """A user or an organisation."""

    login: str = ""


class Repository(Payload):
    """The repository that something happened in."""

    full_name: str = Field(min_length=1)
    html_url: str = ""
    updated_at: datetime | None = None


class Commit(Payload):
    """A commit as push events name it."""

    id: str
    message: str = ""
    timestamp: datetime | None = None


class PushEvent(Payload):
    """`push`. `before` or `after` is all zeros where a ref was made or deleted."""

    ref: str
    before: str
    after: str
    compare_url: str = ""
    commits: tuple[Commit, ...] | None = ()
    total_commits: int | None = None
    head_commit: Commit | None = None
    repository: Repository
    pusher: Account | None = None
    sender: Account | None = None


class Side(Payload):
    """One side of a pull request."""

    ref: str = ""
    sha: str = ""


class PullRequest(Payload):
    """A pull request."""

    number: int
    title: str
    html_url: str = ""
    state: str = ""
    draft: bool = False
    merged: bool = False
    user: Account | None = None
    head: Side = Side()
    base: Side = Side()
    updated_at: datetime | None = None


class Review(Payload):
    """What a reviewer says; `type` is such as `pull_request_review_approved`."""

    type: str = ""
    content: str = ""


class PullRequestEvent(Payload):
    """`pull_request`, and the three kinds of reviews."""

    action: str = Field(pattern=r"^[a-z_]{1,60}$")
    pull_request: PullRequest
    review: Review | None = None
    repository: Repository
    sender: Account | None = None


class Issue(Payload):
    """An issue."""

    number: int
    title: str
    html_url: str = ""
    state: str = ""
    user: Account | None = None
    updated_at: datetime | None = None


class IssueEvent(Payload):
    """`issues`."""

    action: str = Field(pattern=r"^[a-z_]{1,60}$")
    issue: Issue
    repository: Repository
    sender: Account | None = None


class Comment(Payload):
    """A comment."""

    body: str = ""
    html_url: str = ""
    created_at: datetime | None = None


class CommentEvent(Payload):
    """`issue_comment`, for issues and pull requests."""

    action: str
    issue: Issue
    comment: Comment
    is_pull: bool = False
    repository: Repository
    sender: Account | None = None


class Release(Payload):
    """A release."""

    tag_name: str
    name: str = ""
    target_commitish: str = ""
    html_url: str = ""
    prerelease: bool = False
    published_at: datetime | None = None


class ReleaseEvent(Payload):
    """`release`."""

    action: str
    release: Release
    repository: Repository
    sender: Account | None = None


class StatusEvent(Payload):
    """`status` (Gitea): what another CI, such as Woodpecker, says of a commit."""

    sha: str
    context: str = ""
    state: str
    description: str = ""
    target_url: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    repository: Repository
    sender: Account | None = None


class WorkflowRun(Payload):
    """One run of Gitea Actions, in the words of GitHub's."""

    id: int
    run_number: int = 0
    run_attempt: int = 1
    display_title: str = ""
    event: str = ""
    path: str = ""
    head_branch: str | None = ""
    head_sha: str = ""
    status: str = ""
    conclusion: str | None = None
    html_url: str = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    actor: Account | None = None
    trigger_actor: Account | None = None


class Workflow(Payload):
    """A workflow's file."""

    name: str = ""


class WorkflowRunEvent(Payload):
    """`workflow_run` (Gitea 1.25 and later)."""

    action: str
    workflow: Workflow | None = None
    workflow_run: WorkflowRun
    repository: Repository
    sender: Account | None = None


class ActionRun(Payload):
    """One run of Forgejo Actions."""

    id: int
    index_in_repo: int = 0
    title: str = ""
    workflow_id: str = ""
    prettyref: str = ""
    commit_sha: str = ""
    trigger_event: str = ""
    trigger_user: Account | None = None
    status: str = ""
    html_url: str = ""
    repository: Repository
    stopped: datetime | None = None
    updated: datetime | None = None


class ActionRunEvent(Payload):
    """`action_run_failure`, `action_run_success`, `action_run_recover` (Forgejo 12 and later)."""

    action: str
    run: ActionRun
