"""What GitHub's events say of commits, pull requests, issues and releases."""

from __future__ import annotations

from pydantic import JsonValue

from core.records import Event
from integrations.github.payloads import (
    IssueCommentEvent,
    IssueEvent,
    PullRequest,
    PullRequestEvent,
    PushEvent,
    ReleaseEvent,
    ReviewCommentEvent,
    ReviewEvent,
)
from integrations.happening import Origin
from integrations.text import clip, tidy, web_address
from integrations.webhooks import MalformedDeliveryError, read_payload

_MAX_LABELS = 50


def push(origin: Origin, body: bytes) -> list[Event]:
    """`push`."""
    payload = read_payload(body, PushEvent)
    repository = clip(payload.repository.full_name, 200)
    head = payload.head_commit
    when = payload.repository.pushed_at or (head.timestamp if head else None)
    if when is None:
        raise MalformedDeliveryError("not a PushEvent: it says nowhere when it happened")
    what, _, ref = clip(payload.ref, 250).removeprefix("refs/").partition("/")
    actor = clip(payload.pusher.name or (payload.sender.login if payload.sender else ""), 100)
    verb = "deleted" if payload.deleted else "force-pushed" if payload.forced else "pushed"
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "ref": clip(payload.ref, 250),
        "branch": ref if what == "heads" else "",
        "tag": ref if what == "tags" else "",
        "sha": clip(payload.after, 64),
        "before": clip(payload.before, 64),
        "actor": actor,
        "commits": len(payload.commits),
        "commit_title": clip((head.message if head else "").partition("\n")[0], 300),
        "forced": payload.forced,
        "deleted": payload.deleted,
        "url": web_address(payload.compare),
    }
    title = f"{actor} {verb} {ref} of {repository}"
    return [origin.event("push", repository, title, attributes, when)]


def pull_request(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.<GitHub's action>`; `pull_request.merged` beside a `closed` that merged, and
    `pull_request.updated` beside a `synchronize`, as all senders call these."""
    payload = read_payload(body, PullRequestEvent)
    pull = payload.pull_request
    where = _name(payload.repository.full_name, pull.number)
    actor = payload.sender.login
    attributes = _pull(payload.repository.full_name, pull, actor)

    def told(word: str, *, also: bool = False) -> Event:
        title = f"{where} {word}: {pull.title}"
        kind = f"pull_request.{word}"
        return origin.event(kind, where, title, attributes, pull.updated_at, also=also)

    events = [told(payload.action)]
    if payload.action == "closed" and pull.merged:
        events.append(told("merged", also=True))
    if payload.action == "synchronize":
        events.append(told("updated", also=True))
    return events


def review(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.reviewed`: a review was submitted."""
    payload = read_payload(body, ReviewEvent)
    if payload.action != "submitted":
        return []
    pull, given = payload.pull_request, payload.review
    where, actor = _name(payload.repository.full_name, pull.number), payload.sender.login
    state = clip(given.state.lower(), 40)
    attributes = _pull(payload.repository.full_name, pull, actor) | {
        "review": state,
        "comment": tidy(given.body, 1000),
        "url": web_address(given.html_url) or web_address(pull.html_url),
    }
    title = f"{clip(actor, 100)} reviewed {where} ({state.replace('_', ' ')}): {pull.title}"
    at = given.submitted_at or pull.updated_at
    return [origin.event("pull_request.reviewed", where, title, attributes, at)]


def review_comment(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.commented`: at a line of the changes."""
    payload = read_payload(body, ReviewCommentEvent)
    if payload.action != "created":
        return []
    pull, comment = payload.pull_request, payload.comment
    where, actor = _name(payload.repository.full_name, pull.number), payload.sender.login
    attributes = _pull(payload.repository.full_name, pull, actor) | {
        "comment": tidy(comment.body, 1000),
        "url": web_address(comment.html_url),
    }
    title = f"{clip(actor, 100)} commented on {where}: {pull.title}"
    return [origin.event("pull_request.commented", where, title, attributes, comment.created_at)]


def issue(origin: Origin, body: bytes) -> list[Event]:
    """`issue.<GitHub's action>`, such as `issue.opened` and `issue.closed`."""
    payload = read_payload(body, IssueEvent)
    where = _name(payload.repository.full_name, payload.issue.number)
    title = f"{where} {payload.action}: {payload.issue.title}"
    return [
        origin.event(
            f"issue.{payload.action}", where, title, _issue(payload), payload.issue.updated_at
        )
    ]


def issue_comment(origin: Origin, body: bytes) -> list[Event]:
    """`issue.commented`, or `pull_request.commented` where the issue is a pull request."""
    payload = read_payload(body, IssueCommentEvent)
    if payload.action != "created":
        return []
    about, comment = payload.issue, payload.comment
    where, actor = (
        _name(payload.repository.full_name, about.number),
        clip(payload.sender.login, 100),
    )
    attributes = _issue(payload) | {
        "comment": tidy(comment.body, 1000),
        "url": web_address(comment.html_url),
    }
    is_pull = about.pull_request is not None
    if is_pull:
        attributes["pull_title"] = attributes["title"]
    kind = "pull_request.commented" if is_pull else "issue.commented"
    title = f"{actor} commented on {where}: {about.title}"
    return [origin.event(kind, where, title, attributes, comment.created_at)]


def release(origin: Origin, body: bytes) -> list[Event]:
    """`release.published`; GitHub tells the same release as created and released, too."""
    payload = read_payload(body, ReleaseEvent)
    if payload.action != "published":
        return []
    given = payload.release
    repository, tag = clip(payload.repository.full_name, 200), clip(given.tag_name, 250)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "tag": tag,
        "release": clip(given.name, 300) or tag,
        "branch": clip(given.target_commitish, 250),
        "prerelease": given.prerelease,
        "actor": clip(payload.sender.login, 100),
        "url": web_address(given.html_url),
    }
    at = given.published_at or given.created_at
    title = f"{repository} {tag} was released"
    return [origin.event("release.published", repository, title, attributes, at)]


def _name(repository: str, number: int) -> str:
    return f"{clip(repository, 200)}#{number}"


def _pull(repository: str, pull: PullRequest, actor: str) -> dict[str, JsonValue]:
    return {
        "repository": clip(repository, 200),
        "number": pull.number,
        "pull_title": clip(pull.title, 300),
        "state": clip(pull.state, 40),
        "draft": pull.draft,
        "merged": bool(pull.merged),
        "branch": clip(pull.head.ref, 250),
        "sha": clip(pull.head.sha, 64),
        "base": clip(pull.base.ref, 250),
        "author": clip(pull.user.login if pull.user else "", 100),
        "actor": clip(actor, 100),
        "url": web_address(pull.html_url),
    }


def _issue(payload: IssueEvent | IssueCommentEvent) -> dict[str, JsonValue]:
    about = payload.issue
    labels = [label.name for label in (about.labels or ())[:_MAX_LABELS]]
    return {
        "repository": clip(payload.repository.full_name, 200),
        "number": about.number,
        "title": clip(about.title, 300),
        "state": clip(about.state, 40),
        "labels": clip(", ".join(labels), 500),
        "author": clip(about.user.login if about.user else "", 100),
        "actor": clip(payload.sender.login, 100),
        "url": web_address(about.html_url),
    }
