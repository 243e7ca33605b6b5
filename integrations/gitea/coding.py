"""What the events say of commits, pull requests, issues and releases."""

from __future__ import annotations

from datetime import datetime

from pydantic import JsonValue

from core.records import Event
from integrations.gitea.happening import login, when
from integrations.gitea.payloads import (
    CommentEvent,
    IssueEvent,
    PullRequestEvent,
    PushEvent,
    ReleaseEvent,
    Repository,
)
from integrations.happening import Origin
from integrations.text import clip, tidy, web_address
from integrations.webhooks import read_payload

_ALSO = {"synchronized": "updated"}
_REVIEWS = {
    "pull_request_review_approved": "approved",
    "pull_request_review_rejected": "changes_requested",
    "pull_request_review_comment": "commented",
}


def push(origin: Origin, body: bytes) -> list[Event]:
    """`push`, with the attributes that GitHub's has; Gitea does not say whether it was forced."""
    payload = read_payload(body, PushEvent)
    repository = clip(payload.repository.full_name, 200)
    commits = payload.commits or ()
    head = payload.head_commit or (commits[0] if commits else None)
    at = when(payload.repository.updated_at, head.timestamp if head else None)
    what, _, ref = clip(payload.ref, 250).removeprefix("refs/").partition("/")
    deleted, created = not payload.after.strip("0"), not payload.before.strip("0")
    actor = login(payload.pusher, payload.sender)
    count = len(commits) if payload.total_commits is None else payload.total_commits
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "ref": clip(payload.ref, 250),
        "branch": ref if what == "heads" else "",
        "tag": ref if what == "tags" else "",
        "sha": clip(payload.after, 64),
        "before": clip(payload.before, 64),
        "actor": actor,
        "commits": count,
        "commit_title": clip((head.message if head else "").partition("\n")[0], 300),
        "created": created,
        "deleted": deleted,
        "url": web_address(payload.compare_url),
    }
    title = f"{actor or 'somebody'} {'deleted' if deleted else 'pushed'} {ref} of {repository}"
    return [origin.event("push", repository, title, attributes, at)]


def pull_request(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.<Gitea's action>`; `pull_request.merged` beside a `closed` that merged, and
    `pull_request.updated` beside a `synchronized`, as all senders call these."""
    payload = read_payload(body, PullRequestEvent)
    pull = payload.pull_request
    where = _name(payload.repository, pull.number)
    at = when(pull.updated_at, payload.repository.updated_at)
    attributes = _pull(payload)

    def told(word: str, *, also: bool = False) -> Event:
        title = f"{where} {word.replace('_', ' ')}: {pull.title}"
        return origin.event(f"pull_request.{word}", where, title, attributes, at, also=also)

    if payload.action == "reviewed":
        return [_review(origin, payload, at)]
    events = [told(payload.action)]
    if payload.action == "closed" and pull.merged:
        events.append(told("merged", also=True))
    if word := _ALSO.get(payload.action):
        events.append(told(word, also=True))
    return events


def issue(origin: Origin, body: bytes) -> list[Event]:
    """`issue.<Gitea's action>`, such as `issue.opened` and `issue.closed`."""
    payload = read_payload(body, IssueEvent)
    where = _name(payload.repository, payload.issue.number)
    at = when(payload.issue.updated_at, payload.repository.updated_at)
    title = f"{where} {payload.action.replace('_', ' ')}: {payload.issue.title}"
    return [origin.event(f"issue.{payload.action}", where, title, _issue(payload), at)]


def comment(origin: Origin, body: bytes) -> list[Event]:
    """`issue.commented`, or `pull_request.commented` where the issue is a pull request."""
    payload = read_payload(body, CommentEvent)
    if payload.action != "created":
        return []
    where, said = _name(payload.repository, payload.issue.number), payload.comment
    at = when(said.created_at, payload.issue.updated_at)
    attributes = _issue(payload) | {
        "comment": tidy(said.body, 1000),
        "url": web_address(said.html_url),
    }
    if payload.is_pull:
        attributes["pull_title"] = attributes["title"]
    kind = "pull_request.commented" if payload.is_pull else "issue.commented"
    title = f"{login(payload.sender) or 'somebody'} commented on {where}: {payload.issue.title}"
    return [origin.event(kind, where, title, attributes, at)]


def release(origin: Origin, body: bytes) -> list[Event]:
    """`release.published`."""
    payload = read_payload(body, ReleaseEvent)
    if payload.action != "published":
        return []
    given = payload.release
    repository, tag = clip(payload.repository.full_name, 200), clip(given.tag_name, 250)
    at = when(given.published_at, payload.repository.updated_at)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "tag": tag,
        "release": clip(given.name, 300) or tag,
        "branch": clip(given.target_commitish, 250),
        "prerelease": given.prerelease,
        "actor": login(payload.sender),
        "url": web_address(given.html_url),
    }
    title = f"{repository} {tag} was released"
    return [origin.event("release.published", repository, title, attributes, at)]


def _review(origin: Origin, payload: PullRequestEvent, at: datetime) -> Event:
    pull, review = payload.pull_request, payload.review
    where = _name(payload.repository, pull.number)
    state = _REVIEWS.get(review.type if review else "", "commented")
    attributes = _pull(payload) | {
        "review": state,
        "comment": tidy(review.content if review else "", 1000),
    }
    actor = login(payload.sender) or "somebody"
    title = f"{actor} reviewed {where} ({state.replace('_', ' ')}): {pull.title}"
    return origin.event("pull_request.reviewed", where, title, attributes, at)


def _name(repository: Repository, number: int) -> str:
    return f"{clip(repository.full_name, 200)}#{number}"


def _pull(payload: PullRequestEvent) -> dict[str, JsonValue]:
    pull = payload.pull_request
    return {
        "repository": clip(payload.repository.full_name, 200),
        "number": pull.number,
        "pull_title": clip(pull.title, 300),
        "state": clip(pull.state, 40),
        "draft": pull.draft,
        "merged": pull.merged,
        "branch": clip(pull.head.ref, 250),
        "sha": clip(pull.head.sha, 64),
        "base": clip(pull.base.ref, 250),
        "author": login(pull.user),
        "actor": login(payload.sender),
        "url": web_address(pull.html_url),
    }


def _issue(payload: IssueEvent | CommentEvent) -> dict[str, JsonValue]:
    about = payload.issue
    return {
        "repository": clip(payload.repository.full_name, 200),
        "number": about.number,
        "title": clip(about.title, 300),
        "state": clip(about.state, 40),
        "author": login(about.user),
        "actor": login(payload.sender),
        "url": web_address(about.html_url),
    }
