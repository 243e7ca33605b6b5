"""What Buildkite posts and answers.

https://buildkite.com/docs/apis/webhooks/pipelines and https://buildkite.com/docs/apis/rest-api/builds
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from integrations.webhooks import Payload


def _iso(value: object) -> object:
    """Webhooks write `2026-09-01 07:58:38 UTC` where the API writes ISO 8601."""
    if isinstance(value, str) and value.endswith(" UTC"):
        return value.removesuffix(" UTC") + "Z"
    return value


Moment = Annotated[datetime, BeforeValidator(_iso)]


class Person(Payload):
    """Who started a build, or sent the webhook."""

    name: str | None = ""


class Pipeline(Payload):
    """What a build belongs to."""

    slug: str = Field(min_length=1)
    name: str = ""
    repository: str | None = ""


class Job(Payload):
    """One job of a build; only those of type `script` run a command."""

    id: str | None = None
    type: str = ""
    name: str | None = ""
    state: str | None = ""
    web_url: str | None = ""
    exit_status: int | None = None
    soft_failed: bool | None = False
    retried: bool | None = False
    retried_in_job_id: str | None = None
    finished_at: Moment | None = None


class Build(Payload):
    """One build."""

    id: str = Field(min_length=1)
    number: int
    state: str
    web_url: str = ""
    message: str | None = ""
    commit: str | None = ""
    branch: str | None = ""
    tag: str | None = ""
    source: str | None = ""
    creator: Person | None = None
    created_at: Moment | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    jobs: tuple[Job, ...] = ()


class Delivery(Payload):
    """A webhook about a build or one of its jobs."""

    event: str = Field(min_length=1, max_length=100)
    build: Build | None = None
    job: Job | None = None
    pipeline: Pipeline | None = None
    sender: Person | None = None
