"""The parts that we use of what GitLab posts.

https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from integrations.webhooks import Payload

_ZONED = re.compile(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) (UTC|[+-]\d{4})$")


def _moment(value: object) -> object:
    """GitLab writes `2016-08-12 15:23:28 UTC` and `2021-04-28 21:50:00 +0200` beside ISO 8601."""
    found = _ZONED.match(value) if isinstance(value, str) else None
    if found is None:
        return value
    day, time, zone = found.groups()
    return f"{day}T{time}" + ("Z" if zone == "UTC" else f"{zone[:3]}:{zone[3:]}")


Moment = Annotated[datetime, BeforeValidator(_moment)]
Number = Annotated[int, Field(ge=0, le=2**53 - 1)]


class Delivery(Payload):
    """What says which of the payloads it is."""

    object_kind: str = Field(default="", max_length=100)


class Project(Payload):
    """The project that something happened in."""

    path_with_namespace: Annotated[str, StringConstraints(pattern=r"[A-Za-z0-9_]")]
    web_url: str = ""


class User(Payload):
    """Who did it."""

    username: str = ""
    name: str = ""

    @property
    def handle(self) -> str:
        """How people call them; job events name no username."""
        return self.username or self.name


class Commit(Payload):
    """A commit as push events name it."""

    id: str
    message: str = ""
    timestamp: Moment
    url: str = ""


class Push(Payload):
    """`push` and `tag_push`. It does not say when it happened; the commits are the newest 20."""

    ref: str
    before: str
    after: str
    checkout_sha: str | None = None
    user_username: str = ""
    user_name: str = ""
    commits: tuple[Commit, ...] = ()
    total_commits_count: Number = 0
    project: Project


class LastCommit(Payload):
    """The head of a merge request."""

    id: str = ""


class MergeRequest(Payload):
    """A merge request; `action` only in its own events."""

    iid: Number
    title: str
    state: str = ""
    draft: bool | None = False
    action: str = ""
    source_branch: str
    target_branch: str
    last_commit: LastCommit | None = None
    url: str | None = ""
    updated_at: Moment


class MergeRequestEvent(Payload):
    """`merge_request`."""

    object_attributes: MergeRequest
    project: Project
    user: User


class Issue(Payload):
    """An issue, incident, task…; `action` only in its own events."""

    iid: Number
    title: str
    state: str | None = ""
    action: str = ""
    severity: str | None = ""
    type: str | None = ""
    url: str | None = ""
    updated_at: Moment


class Label(Payload):
    """A label."""

    title: str


class IssueEvent(Payload):
    """`issue` and `work_item`."""

    object_attributes: Issue
    project: Project
    user: User
    labels: tuple[Label, ...] = ()


class Note(Payload):
    """A comment; `system` where GitLab itself wrote it."""

    note: str = ""
    noteable_type: str = ""
    action: str = "create"
    system: bool = False
    url: str | None = ""
    created_at: Moment


class NoteEvent(Payload):
    """`note`."""

    object_attributes: Note
    project: Project
    user: User
    merge_request: MergeRequest | None = None
    issue: Issue | None = None


class Pipeline(Payload):
    """One pipeline."""

    id: Number
    iid: Number = 0
    name: str | None = None
    ref: str
    tag: bool = False
    sha: str
    source: str = ""
    status: str
    created_at: Moment
    finished_at: Moment | None = None
    url: str | None = ""


class PipelineMergeRequest(Payload):
    """The merge request that a pipeline is for."""

    iid: Number


class PipelineCommit(Payload):
    """The commit that a pipeline is for."""

    message: str = ""


class Build(Payload):
    """One job as pipeline events list it."""

    name: str
    status: str
    allow_failure: bool = False


class PipelineEvent(Payload):
    """`pipeline`."""

    object_attributes: Pipeline
    project: Project
    user: User | None = None
    merge_request: PipelineMergeRequest | None = None
    commit: PipelineCommit | None = None
    builds: tuple[Build, ...] = ()


class JobEvent(Payload):
    """`build`: one job. `pipeline_id` is the pipeline's."""

    ref: str
    tag: bool = False
    sha: str
    build_id: Number
    build_name: str
    build_stage: str = ""
    build_status: str
    build_created_at: Moment | None = None
    build_finished_at: Moment | None = None
    build_allow_failure: bool = False
    build_failure_reason: str | None = ""
    pipeline_id: Number
    project: Project
    user: User | None = None


class DeploymentEvent(Payload):
    """`deployment`."""

    status: str
    status_changed_at: Moment
    deployment_id: Number
    deployable_url: str | None = None
    environment: str
    environment_external_url: str | None = None
    short_sha: str = ""
    ref: str | None = ""
    commit_title: str | None = ""
    project: Project
    user: User | None = None


class ReleaseEvent(Payload):
    """`release`."""

    action: str
    tag: str
    name: str | None = None
    url: str | None = ""
    created_at: Moment
    released_at: Moment | None = None
    project: Project
