"""What the events of Bitbucket Cloud say."""

from __future__ import annotations

from pydantic import JsonValue

from core.records import Event
from integrations.bitbucket.cloud_payloads import (
    Account,
    Change,
    CommitStatusEvent,
    PullRequestEvent,
    PushEvent,
)
from integrations.bitbucket.happening import Origin, numbered, pull_events
from integrations.text import clip, tidy, web_address
from integrations.webhooks import read_payload

_OUTCOMES = {"SUCCESSFUL": "succeeded", "FAILED": "failed", "INPROGRESS": "started"}
_PULLS = {
    "pullrequest:created": "opened",
    "pullrequest:updated": "updated",
    "pullrequest:fulfilled": "merged",
    "pullrequest:rejected": "closed",
}
_REVIEWS = {
    "pullrequest:approved": "approved",
    "pullrequest:changes_request_created": "changes_requested",
}


def push(origin: Origin, body: bytes) -> list[Event]:
    """A `push` for each ref that was changed."""
    payload = read_payload(body, PushEvent)
    repository, actor = clip(payload.repository.full_name, 200), _name(payload.actor)
    events = []
    for index, change in enumerate(payload.push.changes):
        ref = change.new or change.old
        if ref is None:
            continue
        name = clip(ref.name, 250)
        verb = "deleted" if change.closed else "force-pushed" if change.forced else "pushed"
        title = f"{actor or 'somebody'} {verb} {name} of {repository}"
        attributes = {
            "repository": repository,
            **_change(change, name, is_tag=ref.type == "tag"),
            "actor": actor,
        }
        events.append(origin.event("push", repository, title, attributes, None, numbered(index)))
    return events


def pull_request(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.opened`, `.updated`, `.merged` (and `.closed`), `.closed` where it was
    declined."""
    payload = read_payload(body, PullRequestEvent)
    word = _PULLS[origin.event_key]
    return pull_events(
        origin, word, _where(payload), _pull(payload), payload.pullrequest.updated_on
    )


def review(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.reviewed`: it was approved, or changes were asked for."""
    payload = read_payload(body, PullRequestEvent)
    pull, state = payload.pullrequest, _REVIEWS[origin.event_key]
    given = payload.approval or payload.changes_request
    title = (
        f"{_name(payload.actor) or 'somebody'} reviewed {_where(payload)} "
        f"({state.replace('_', ' ')}): {pull.title}"
    )
    attributes = _pull(payload) | {"review": state}
    at = given.date if given and given.date else pull.updated_on
    return [origin.event("pull_request.reviewed", _where(payload), title, attributes, at)]


def comment(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.commented`."""
    payload = read_payload(body, PullRequestEvent)
    pull, said = payload.pullrequest, payload.comment
    written = said.content.raw if said and said.content else ""
    attributes = _pull(payload) | {
        "comment": tidy(written, 1000),
        "url": web_address(said.links.page if said else "") or web_address(pull.links.page),
    }
    title = f"{_name(payload.actor) or 'somebody'} commented on {_where(payload)}: {pull.title}"
    at = said.created_on if said else pull.updated_on
    return [origin.event("pull_request.commented", _where(payload), title, attributes, at)]


def commit_status(origin: Origin, body: bytes) -> list[Event]:
    """`ci.started`, `ci.succeeded` and `ci.failed`, of Pipelines and other builders; nothing for
    one that was stopped."""
    payload = read_payload(body, CommitStatusEvent)
    status = payload.commit_status
    outcome = _OUTCOMES.get(status.state)
    if outcome is None:
        return []
    repository, branch = clip(payload.repository.full_name, 200), clip(status.refname, 250)
    name, commit = clip(status.name or status.key, 200), status.commit
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": branch,
        "sha": clip(commit.hash if commit else "", 64),
        "workflow": name,
        "run_id": clip(status.key, 100),
        "commit_title": clip(((commit.message if commit else "") or "").partition("\n")[0], 300),
        "description": clip(status.description, 500),
        "conclusion": clip(status.state, 40),
        "actor": _name(payload.actor),
        "url": web_address(status.url),
    }
    where = f"on {branch} of " if branch else "of "
    title = f"{name or 'CI'} {outcome} {where}{repository}"
    return [origin.event(f"ci.{outcome}", repository, title, attributes, status.updated_on)]


def _change(change: Change, name: str, *, is_tag: bool) -> dict[str, JsonValue]:
    new = change.new.target if change.new else None
    old = change.old.target if change.old else None
    commits = change.commits or ()
    head = (new.message if new else "") or (commits[0].message if commits else "") or ""
    return {
        "ref": f"refs/{'tags' if is_tag else 'heads'}/{name}",
        "branch": "" if is_tag else name,
        "tag": name if is_tag else "",
        "sha": clip(new.hash if new else "", 64),
        "before": clip(old.hash if old else "", 64),
        "commits": len(commits),
        "more_commits": change.truncated,
        "commit_title": clip(head.partition("\n")[0], 300),
        "created": change.created,
        "deleted": change.closed,
        "forced": change.forced,
        "url": web_address(change.links.page),
    }


def _where(payload: PullRequestEvent) -> str:
    return f"{clip(payload.repository.full_name, 200)}#{payload.pullrequest.id}"


def _pull(payload: PullRequestEvent) -> dict[str, JsonValue]:
    pull = payload.pullrequest
    source, destination = pull.source, pull.destination
    return {
        "repository": clip(payload.repository.full_name, 200),
        "number": pull.id,
        "pull_title": clip(pull.title, 300),
        "state": clip(pull.state.lower(), 40),
        "draft": pull.draft,
        "merged": pull.state == "MERGED",
        "branch": clip(source.branch.name if source.branch else "", 250),
        "sha": clip(source.commit.hash if source.commit else "", 64),
        "base": clip(destination.branch.name if destination.branch else "", 250),
        "author": _name(pull.author),
        "actor": _name(payload.actor),
        "url": web_address(pull.links.page),
    }


def _name(account: Account | None) -> str:
    return clip(account.name if account else "", 100)
