"""The parts that we use of what Bitbucket Data Center posts.

https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from integrations.webhooks import Payload


class Link(Payload):
    """One link."""

    href: str | None = ""


def _present(links: object) -> object:
    """Older versions send `{"self": [null]}`."""
    return [link for link in links if link is not None] if isinstance(links, list) else links


class Links(Payload):
    """The pages for people."""

    self_: Annotated[tuple[Link, ...] | None, BeforeValidator(_present)] = Field(
        default=(), alias="self"
    )

    @property
    def page(self) -> str:
        """The first address, or nothing."""
        return next((link.href for link in self.self_ or () if link.href), "")


class User(Payload):
    """A person, or a user for programs."""

    name: str = ""


class Project(Payload):
    """A project, or a person's own."""

    key: str = Field(min_length=1)


class Repository(Payload):
    """A repository."""

    slug: str = Field(min_length=1)
    project: Project

    @property
    def full_name(self) -> str:
        """As people write it: `SHOP/backend`."""
        return f"{self.project.key}/{self.slug}"


class Ref(Payload):
    """A branch or tag; `type` is `BRANCH` or `TAG`."""

    id: str = ""
    display_id: str = Field(alias="displayId")
    type: str = "BRANCH"


class Change(Payload):
    """What happened to one ref; `type` is `ADD`, `UPDATE` or `DELETE`."""

    ref: Ref
    from_hash: str = Field(default="", alias="fromHash")
    to_hash: str = Field(default="", alias="toHash")
    type: str = "UPDATE"


class Commit(Payload):
    """A commit."""

    id: str = ""
    message: str | None = ""


class PushEvent(Payload):
    """`repo:refs_changed`."""

    date: datetime
    actor: User | None = None
    repository: Repository
    changes: tuple[Change, ...] = ()
    to_commit: Commit | None = Field(default=None, alias="toCommit")


class Side(Payload):
    """One side of a pull request."""

    display_id: str = Field(default="", alias="displayId")
    latest_commit: str = Field(default="", alias="latestCommit")
    repository: Repository | None = None


class Target(Side):
    """Where a pull request is to be merged."""

    repository: Repository


class Participant(Payload):
    """Somebody's part in a pull request."""

    user: User | None = None


class PullRequest(Payload):
    """A pull request."""

    id: int
    title: str
    state: str = ""
    draft: bool = False
    author: Participant | None = None
    from_ref: Side = Field(alias="fromRef")
    to_ref: Target = Field(alias="toRef")
    links: Links = Links()


class Comment(Payload):
    """A comment."""

    text: str = ""


class PullRequestEvent(Payload):
    """`pr:…`."""

    date: datetime
    actor: User | None = None
    pull_request: PullRequest = Field(alias="pullRequest")
    comment: Comment | None = None
