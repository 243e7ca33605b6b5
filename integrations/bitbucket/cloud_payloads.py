"""The parts that we use of what Bitbucket Cloud posts.

https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from integrations.webhooks import Payload


class Link(Payload):
    """One link."""

    href: str | None = ""


class Links(Payload):
    """The page for people."""

    html: Link | None = None

    @property
    def page(self) -> str:
        """Its address, or nothing."""
        return (self.html.href if self.html else "") or ""


class Account(Payload):
    """A person, a team or an app."""

    display_name: str | None = ""
    nickname: str | None = ""

    @property
    def name(self) -> str:
        """The nickname, else the name that is shown."""
        return self.nickname or self.display_name or ""


class Repository(Payload):
    """The repository that something happened in."""

    full_name: str = Field(min_length=1)
    links: Links = Links()


class Commit(Payload):
    """A commit."""

    hash: str = ""
    message: str | None = ""


class Ref(Payload):
    """A branch or tag; `type` says which."""

    type: str = ""
    name: str
    target: Commit | None = None


class Change(Payload):
    """What happened to one ref; `new` is missing where it was deleted, `old` where it is new."""

    new: Ref | None = None
    old: Ref | None = None
    created: bool = False
    closed: bool = False
    forced: bool = False
    truncated: bool = False
    commits: tuple[Commit, ...] | None = ()
    links: Links = Links()


class Push(Payload):
    """The changes of one push."""

    changes: tuple[Change, ...] = ()


class PushEvent(Payload):
    """`repo:push`."""

    push: Push
    repository: Repository
    actor: Account | None = None


class Branch(Payload):
    """A branch by name."""

    name: str = ""


class Side(Payload):
    """One side of a pull request."""

    branch: Branch | None = None
    commit: Commit | None = None


class PullRequest(Payload):
    """A pull request."""

    id: int
    title: str
    state: str = ""
    draft: bool = False
    author: Account | None = None
    source: Side = Side()
    destination: Side = Side()
    links: Links = Links()
    updated_on: datetime | None = None


class Text(Payload):
    """What somebody wrote."""

    raw: str | None = ""


class Comment(Payload):
    """A comment."""

    content: Text | None = None
    links: Links = Links()
    created_on: datetime | None = None


class Review(Payload):
    """An approval, or a request for changes."""

    date: datetime | None = None


class PullRequestEvent(Payload):
    """`pullrequest:…`."""

    pullrequest: PullRequest
    repository: Repository
    actor: Account | None = None
    comment: Comment | None = None
    approval: Review | None = None
    changes_request: Review | None = None


class CommitStatus(Payload):
    """What a builder, such as Pipelines, says of a commit."""

    key: str = ""
    name: str | None = ""
    state: str
    description: str | None = ""
    refname: str | None = ""
    url: str | None = ""
    commit: Commit | None = None
    updated_on: datetime | None = None


class CommitStatusEvent(Payload):
    """`repo:commit_status_created` and `repo:commit_status_updated`."""

    commit_status: CommitStatus
    repository: Repository
    actor: Account | None = None
