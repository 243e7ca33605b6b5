"""What CircleCI posts. https://circleci.com/docs/webhooks-reference/"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from integrations.webhooks import Payload


class Named(Payload):
    """A webhook or an organization."""

    id: str = ""
    name: str = ""


class Project(Named):
    """`slug` is how the API names it, such as `gh/acme/shop`."""

    slug: str = Field(min_length=1)


class Workflow(Payload):
    """One run of a workflow."""

    id: str = Field(min_length=1)
    name: str
    status: str | None = None
    url: str = ""


class Job(Payload):
    """One job of a workflow."""

    id: str = ""
    name: str = ""
    number: int | None = None
    status: str | None = None


class Person(Payload):
    """Who wrote a commit."""

    name: str | None = ""


class Commit(Payload):
    """The commit that was built."""

    subject: str | None = ""
    author: Person | None = None


class Vcs(Payload):
    """The repository and what of it was built; left out for some kinds of triggers."""

    target_repository_url: str | None = ""
    revision: str | None = ""
    branch: str | None = ""
    tag: str | None = ""
    commit: Commit | None = None


class Trigger(Payload):
    """What started a pipeline."""

    type: str = ""


class GitParameters(Payload):
    """What GitLab and GitHub App pipelines have in place of `vcs`."""

    branch: str | None = ""
    checkout_sha: str | None = ""
    commit_title: str | None = ""
    repo_url: str | None = ""


class TriggerParameters(Payload):
    """See `GitParameters`."""

    git: GitParameters = GitParameters()


class Pipeline(Payload):
    """What a workflow belongs to."""

    id: str = Field(min_length=1)
    number: int
    trigger: Trigger = Trigger()
    vcs: Vcs | None = None
    trigger_parameters: TriggerParameters = TriggerParameters()


class Delivery(Payload):
    """`workflow-completed` or `job-completed`."""

    id: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")
    type: str
    happened_at: datetime
    project: Project
    workflow: Workflow
    pipeline: Pipeline
    job: Job | None = None


class WorkflowState(Payload):
    """`GET /workflow/{id}` of the API. https://circleci.com/docs/api/v2/"""

    id: str
    name: str
    status: str
    project_slug: str
    pipeline_number: int


class Started(Payload):
    """`POST /workflow/{id}/rerun` of the API."""

    workflow_id: str
