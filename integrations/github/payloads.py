"""The parts that we use of what GitHub posts.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from integrations.webhooks import Payload


def _moment(value: object) -> object:
    """GitHub writes `pushed_at` as seconds since 1970 in push events and as text elsewhere."""
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else value


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Account(Payload):
    """A user or an organisation."""

    login: str


class Repository(Payload):
    """The repository that something happened in."""

    full_name: str
    html_url: str = ""
    pushed_at: Moment | None = None


class WorkflowRun(Payload):
    """One run of a GitHub Actions workflow."""

    id: int
    name: str | None = None
    head_branch: str | None = None
    head_sha: str
    run_attempt: int = 1
    run_number: int = 0
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
    """A pull request."""

    number: int
    title: str
    html_url: str = ""
    state: str = ""
    draft: bool = False
    merged: bool = False
    updated_at: datetime
    user: Account | None = None
    head: Branch
    base: Branch


class PullRequestEvent(Payload):
    """`pull_request`."""

    action: str = Field(pattern=r"^[a-z_]{1,60}$")
    pull_request: PullRequest
    repository: Repository
    sender: Account
