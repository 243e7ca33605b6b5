"""What the events of Bitbucket Data Center say."""

from __future__ import annotations

from pydantic import JsonValue

from core.records import Event
from integrations.bitbucket.datacenter_payloads import PullRequestEvent, PushEvent, User
from integrations.bitbucket.happening import Origin, numbered, pull_events
from integrations.text import clip, tidy, web_address
from integrations.webhooks import read_payload

_PULLS = {
    "pr:opened": "opened",
    "pr:from_ref_updated": "updated",
    "pr:modified": "edited",
    "pr:merged": "merged",
    "pr:declined": "closed",
}
_REVIEWS = {
    "pr:reviewer:approved": "approved",
    "pr:reviewer:changes_requested": "changes_requested",
    "pr:reviewer:needs_work": "changes_requested",
}


def push(origin: Origin, body: bytes) -> list[Event]:
    """A `push` for each ref that was changed; whether it was forced is not sent."""
    payload = read_payload(body, PushEvent)
    repository, actor = clip(payload.repository.full_name, 200), _name(payload.actor)
    events = []
    for index, change in enumerate(payload.changes):
        name, is_tag = clip(change.ref.display_id, 250), change.ref.type == "TAG"
        deleted, head = change.type == "DELETE", payload.to_commit
        at_head = head is not None and head.id == change.to_hash
        attributes: dict[str, JsonValue] = {
            "repository": repository,
            "ref": clip(change.ref.id, 250),
            "branch": "" if is_tag else name,
            "tag": name if is_tag else "",
            "sha": clip(change.to_hash, 64),
            "before": clip(change.from_hash, 64),
            "commit_title": clip(
                ((head.message if head and at_head else "") or "").partition("\n")[0], 300
            ),
            "created": change.type == "ADD",
            "deleted": deleted,
            "actor": actor,
            "url": "",
        }
        title = f"{actor or 'somebody'} {'deleted' if deleted else 'pushed'} {name} of {repository}"
        events.append(
            origin.event("push", repository, title, attributes, payload.date, numbered(index))
        )
    return events


def pull_request(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.opened`, `.updated` (commits), `.edited` (its text or target), `.merged` (and
    `.closed`), `.closed` where it was declined."""
    payload = read_payload(body, PullRequestEvent)
    word = _PULLS[origin.event_key]
    return pull_events(origin, word, _where(payload), _pull(payload), payload.date)


def review(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.reviewed`: it was approved, or changes were asked for."""
    payload = read_payload(body, PullRequestEvent)
    pull, state = payload.pull_request, _REVIEWS[origin.event_key]
    title = (
        f"{_name(payload.actor) or 'somebody'} reviewed {_where(payload)} "
        f"({state.replace('_', ' ')}): {pull.title}"
    )
    attributes = _pull(payload) | {"review": state}
    return [origin.event("pull_request.reviewed", _where(payload), title, attributes, payload.date)]


def comment(origin: Origin, body: bytes) -> list[Event]:
    """`pull_request.commented`."""
    payload = read_payload(body, PullRequestEvent)
    attributes = _pull(payload) | {
        "comment": tidy(payload.comment.text if payload.comment else "", 1000)
    }
    actor = _name(payload.actor) or "somebody"
    title = f"{actor} commented on {_where(payload)}: {payload.pull_request.title}"
    where = _where(payload)
    return [origin.event("pull_request.commented", where, title, attributes, payload.date)]


def _where(payload: PullRequestEvent) -> str:
    pull = payload.pull_request
    return f"{clip(pull.to_ref.repository.full_name, 200)}#{pull.id}"


def _pull(payload: PullRequestEvent) -> dict[str, JsonValue]:
    pull = payload.pull_request
    return {
        "repository": clip(pull.to_ref.repository.full_name, 200),
        "number": pull.id,
        "pull_title": clip(pull.title, 300),
        "state": clip(pull.state.lower(), 40),
        "draft": pull.draft,
        "merged": pull.state == "MERGED",
        "branch": clip(pull.from_ref.display_id, 250),
        "sha": clip(pull.from_ref.latest_commit, 64),
        "base": clip(pull.to_ref.display_id, 250),
        "author": _name(pull.author.user if pull.author else None),
        "actor": _name(payload.actor),
        "url": web_address(pull.links.page),
    }


def _name(user: User | None) -> str:
    return clip(user.name if user else "", 100)
