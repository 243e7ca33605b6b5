"""The parts that we use of what GitHub posts.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints

from integrations.webhooks import Payload

_LATEST = 253_402_300_799  # the year 9999


def _moment(value: object) -> object:
    """GitHub writes `pushed_at` as seconds since 1970 in push events and as text elsewhere."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LATEST:
        return datetime.fromtimestamp(value, UTC)
    return value


Moment = Annotated[datetime, BeforeValidator(_moment)]
Number = Annotated[int, Field(ge=0, le=2**53 - 1)]
ActionName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,60}$")]


class Account(Payload):
    """A user or an organisation."""

    login: str


class Repository(Payload):
    """The repository that something happened in."""

    full_name: Annotated[str, StringConstraints(pattern=r"[A-Za-z0-9_]")]
    html_url: str = ""
    pushed_at: Moment | None = None


class RunRepository(Payload):
    """Where a run is, or where its commit is from: the same, or a fork of it."""

    full_name: str = ""


class WorkflowRun(Payload):
    """One run of a GitHub Actions workflow."""

    id: Number
    name: str | None = None
    head_branch: str | None = None
    head_repository: RunRepository | None = None
    repository: RunRepository | None = None
    head_sha: str
    run_attempt: Number = 1
    run_number: Number = 0
    event: str = ""
    status: str | None = None
    conclusion: str | None = None
    html_url: str = ""
    display_title: str = ""
    updated_at: datetime
    actor: Account | None = None
    triggering_actor: Account | None = None


class WorkflowRunEvent(Payload):
    """`workflow_run`."""

    action: str
    workflow_run: WorkflowRun
    repository: Repository
    sender: Account


class Commit(Payload):
    """A commit as push events name it."""

    id: str
    message: str = ""
    timestamp: datetime
    url: str = ""


class Pusher(Payload):
    """Who pushed."""

    name: str = ""


class PushEvent(Payload):
    """`push`."""

    ref: str
    before: str
    after: str
    deleted: bool = False
    forced: bool = False
    compare: str = ""
    commits: tuple[Commit, ...] = ()
    head_commit: Commit | None = None
    pusher: Pusher
    repository: Repository
    sender: Account | None = None


class Branch(Payload):
    """One side of a pull request."""

    ref: str
    sha: str


class PullRequest(Payload):
    """A pull request; `node_id` is its id in GraphQL."""

    node_id: str = ""
    number: Number
    title: str
    html_url: str = ""
    state: str = ""
    draft: bool = False
    merged: bool | None = False
    merge_commit_sha: str | None = None
    updated_at: datetime
    user: Account | None = None
    merged_by: Account | None = None
    head: Branch
    base: Branch


class PullRequestEvent(Payload):
    """`pull_request`."""

    action: ActionName
    pull_request: PullRequest
    repository: Repository
    sender: Account


class Comment(Payload):
    """What somebody wrote: below an issue, below a pull request, or at a line of its changes."""

    body: str | None = None
    html_url: str = ""
    created_at: datetime
    user: Account | None = None


class Review(Payload):
    """A review of a pull request; `state` is `approved`, `changes_requested`, `commented`…"""

    state: str
    body: str | None = None
    html_url: str = ""
    submitted_at: datetime | None = None
    user: Account | None = None


class ReviewEvent(Payload):
    """`pull_request_review`."""

    action: ActionName
    review: Review
    pull_request: PullRequest
    repository: Repository
    sender: Account


class ReviewCommentEvent(Payload):
    """`pull_request_review_comment`."""

    action: ActionName
    comment: Comment
    pull_request: PullRequest
    repository: Repository
    sender: Account


class Label(Payload):
    """A label of an issue."""

    name: str


class Issue(Payload):
    """An issue; `pull_request` is there where it is a pull request's conversation."""

    number: Number
    title: str
    html_url: str = ""
    state: str | None = ""
    updated_at: datetime
    user: Account | None = None
    labels: tuple[Label, ...] | None = ()
    pull_request: Mapping[str, JsonValue] | None = None


class IssueEvent(Payload):
    """`issues`."""

    action: ActionName
    issue: Issue
    repository: Repository
    sender: Account


class IssueCommentEvent(Payload):
    """`issue_comment`."""

    action: ActionName
    issue: Issue
    comment: Comment
    repository: Repository
    sender: Account


class Release(Payload):
    """A release."""

    tag_name: str
    name: str | None = None
    target_commitish: str = ""
    html_url: str = ""
    prerelease: bool = False
    created_at: datetime
    published_at: datetime | None = None


class ReleaseEvent(Payload):
    """`release`."""

    action: ActionName
    release: Release
    repository: Repository
    sender: Account


class Deployment(Payload):
    """A deployment of a commit to an environment."""

    id: Number
    ref: str
    sha: str
    task: str = ""
    environment: str


class DeploymentState(Payload):
    """How a deployment is going."""

    state: str
    environment: str = ""
    description: str | None = None
    target_url: str | None = None
    log_url: str | None = None
    environment_url: str | None = None
    updated_at: datetime
    creator: Account | None = None


class DeploymentStatusEvent(Payload):
    """`deployment_status`."""

    deployment_status: DeploymentState
    deployment: Deployment
    repository: Repository
    sender: Account


class App(Payload):
    """The GitHub App that made a check."""

    slug: str = ""
    name: str = ""


class CheckSuite(Payload):
    """All checks that one app made of one commit."""

    id: Number
    head_branch: str | None = None
    head_sha: str
    conclusion: str | None = None
    app: App | None = None
    updated_at: datetime


class CheckSuiteEvent(Payload):
    """`check_suite`."""

    action: ActionName
    check_suite: CheckSuite
    repository: Repository
    sender: Account


class SuiteOfRun(Payload):
    """The suite that a check belongs to, as far as the check names it."""

    head_branch: str | None = None


class CheckRun(Payload):
    """One check of one commit."""

    id: Number
    name: str
    head_sha: str
    conclusion: str | None = None
    html_url: str | None = ""
    completed_at: datetime | None = None
    app: App | None = None
    check_suite: SuiteOfRun | None = None


class CheckRunEvent(Payload):
    """`check_run`."""

    action: ActionName
    check_run: CheckRun
    repository: Repository
    sender: Account


class WorkflowJob(Payload):
    """One job of a workflow run."""

    id: Number
    run_id: Number
    run_attempt: Number = 1
    name: str
    workflow_name: str | None = None
    head_branch: str | None = None
    head_sha: str
    conclusion: str | None = None
    html_url: str | None = ""
    completed_at: datetime | None = None


class WorkflowJobEvent(Payload):
    """`workflow_job`."""

    action: ActionName
    workflow_job: WorkflowJob
    repository: Repository
    sender: Account
