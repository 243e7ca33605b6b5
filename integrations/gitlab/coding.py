"""What GitLab's events say of commits, merge requests, issues and releases."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from core.records import Event
from integrations.gitlab.happening import Origin
from integrations.gitlab.payloads import (
    Issue,
    IssueEvent,
    MergeRequest,
    MergeRequestEvent,
    NoteEvent,
    Project,
    Push,
    ReleaseEvent,
    User,
)
from integrations.text import clip, tidy, web_address
from integrations.webhooks import ARRIVAL, read_payload

_NOTHING = "0" * 40
_MAX_LABELS = 50
_MERGE_REQUEST: Mapping[str, str] = {
    "open": "opened",
    "reopen": "reopened",
    "update": "updated",
    "merge": "merged",
    "close": "closed",
    "approved": "reviewed",
    "approval": "reviewed",
    "unapproved": "reviewed",
    "unapproval": "reviewed",
}
_ISSUE: Mapping[str, str] = {
    "open": "opened",
    "reopen": "reopened",
    "update": "updated",
    "close": "closed",
}


def push(origin: Origin, body: bytes) -> list[Event]:
    """`push`, of a branch or a tag.

    GitLab does not say when it happened: that is when a signed delivery was sent, else the newest
    commit's time, else when it arrived.
    """
    payload = read_payload(body, Push)
    repository = clip(payload.project.path_with_namespace, 300)
    what, _, ref = clip(payload.ref, 250).removeprefix("refs/").partition("/")
    deleted = payload.after == _NOTHING
    actor = clip(payload.user_username or payload.user_name, 100)
    head = payload.commits[-1] if payload.commits else None
    compare = f"{payload.project.web_url}/-/compare/{payload.before}...{payload.after}"
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "ref": clip(payload.ref, 250),
        "branch": ref if what == "heads" else "",
        "tag": ref if what == "tags" else "",
        "sha": clip(payload.checkout_sha or payload.after, 64),
        "before": clip(payload.before, 64),
        "actor": actor,
        "commits": payload.total_commits_count,
        "commit_title": clip((head.message if head else "").partition("\n")[0], 300),
        "deleted": deleted,
        "url": web_address(compare if payload.project.web_url else ""),
    }
    title = f"{actor} {'deleted' if deleted else 'pushed'} {ref} of {repository}"
    at = origin.sent or (head.timestamp if head else ARRIVAL)
    return [origin.event("push", repository, title, attributes, at)]


def merge_request(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.opened`, `.reopened`, `.updated`, `.merged`, `.closed`, `.reviewed`, as all
    senders call them."""
    payload = read_payload(body, MergeRequestEvent)
    request = payload.object_attributes
    word = _MERGE_REQUEST.get(request.action)
    if word is None:
        return []
    where = f"{clip(payload.project.path_with_namespace, 250)}!{request.iid}"
    attributes = _merge_request(payload.project, request, payload.user)
    if word == "reviewed":
        taken_back = request.action.startswith("un")
        attributes["review"] = "unapproved" if taken_back else "approved"
    title = f"{where} {word}: {request.title}"
    return [origin.event(f"pull_request.{word}", where, title, attributes, request.updated_at)]


def issue(origin: Origin, body: bytes) -> list[Event]:
    """`issue.opened`, `.reopened`, `.updated`, `.closed`; `type` says whether it is an incident."""
    payload = read_payload(body, IssueEvent)
    about = payload.object_attributes
    word = _ISSUE.get(about.action)
    if word is None:
        return []
    where = f"{clip(payload.project.path_with_namespace, 250)}#{about.iid}"
    labels = [label.title for label in payload.labels[:_MAX_LABELS]]
    attributes = _issue(payload.project, about, payload.user) | {
        "labels": clip(", ".join(labels), 500)
    }
    title = f"{where} {word}: {about.title}"
    return [origin.event(f"issue.{word}", where, title, attributes, about.updated_at)]


def note(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.commented` and `issue.commented`; edits, comments on commits and snippets, and
    what GitLab itself notes, are nothing."""
    payload = read_payload(body, NoteEvent)
    comment = payload.object_attributes
    if comment.action != "create" or comment.system:
        return []
    more: dict[str, JsonValue] = {
        "comment": tidy(comment.note, 1000),
        "url": web_address(comment.url),
    }
    project, actor = clip(payload.project.path_with_namespace, 250), clip(payload.user.handle, 100)
    if payload.merge_request is not None:
        where, about = f"{project}!{payload.merge_request.iid}", payload.merge_request.title
        attributes = _merge_request(payload.project, payload.merge_request, payload.user)
        kind = "pull_request.commented"
    elif payload.issue is not None:
        where, about = f"{project}#{payload.issue.iid}", payload.issue.title
        attributes = _issue(payload.project, payload.issue, payload.user)
        kind = "issue.commented"
    else:
        return []
    title = f"{actor} commented on {where}: {about}"
    return [origin.event(kind, where, title, attributes | more, comment.created_at)]


def release(origin: Origin, body: bytes) -> list[Event]:
    """`release.published`."""
    payload = read_payload(body, ReleaseEvent)
    if payload.action != "create":
        return []
    repository, tag = clip(payload.project.path_with_namespace, 300), clip(payload.tag, 250)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "tag": tag,
        "release": clip(payload.name, 300) or tag,
        "url": web_address(payload.url),
    }
    at = payload.released_at or payload.created_at
    title = f"{repository} {tag} was released"
    return [origin.event("release.published", repository, title, attributes, at)]


def _merge_request(project: Project, request: MergeRequest, user: User) -> dict[str, JsonValue]:
    return {
        "repository": clip(project.path_with_namespace, 300),
        "number": request.iid,
        "pull_title": clip(request.title, 300),
        "state": clip(request.state, 40),
        "draft": bool(request.draft),
        "merged": request.state == "merged",
        "branch": clip(request.source_branch, 250),
        "sha": clip(request.last_commit.id if request.last_commit else "", 64),
        "base": clip(request.target_branch, 250),
        "actor": clip(user.handle, 100),
        "url": web_address(request.url),
    }


def _issue(project: Project, about: Issue, user: User) -> dict[str, JsonValue]:
    return {
        "repository": clip(project.path_with_namespace, 300),
        "number": about.iid,
        "title": clip(about.title, 300),
        "type": clip(about.type, 60),
        "severity": clip(about.severity, 40),
        "state": clip(about.state, 40),
        "actor": clip(user.handle, 100),
        "url": web_address(about.url),
    }
