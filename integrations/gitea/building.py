"""What the events say of runs of Gitea Actions, of Forgejo Actions and of other CIs."""

from __future__ import annotations

from pydantic import JsonValue

from core.records import Event
from integrations.gitea.happening import login, when
from integrations.gitea.payloads import ActionRunEvent, StatusEvent, WorkflowRunEvent
from integrations.happening import Origin
from integrations.text import clip, web_address
from integrations.webhooks import read_payload

_CONCLUSIONS = {"success": "succeeded", "failure": "failed", "timed_out": "failed"}
_STATES = {"success": "succeeded", "failure": "failed", "error": "failed"}
_ACTIONS = {"success": "succeeded", "failure": "failed", "recover": "recovered"}


def workflow_run(origin: Origin, body: bytes) -> list[Event]:
    """`ci.failed`, `ci.succeeded` and `ci.started` of Gitea Actions; nothing for a run that was
    cancelled or skipped."""
    payload = read_payload(body, WorkflowRunEvent)
    run = payload.workflow_run
    if payload.action == "in_progress":
        outcome: str | None = "started"
    elif payload.action == "completed":
        outcome = _CONCLUSIONS.get(run.conclusion or "")
    else:
        outcome = None
    if outcome is None:
        return []
    at = when(run.completed_at, run.started_at, payload.repository.updated_at)
    repository = clip(payload.repository.full_name, 200)
    name = clip(payload.workflow.name if payload.workflow else "", 200) or _file(run.path)
    branch = clip(run.head_branch, 250)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": branch,
        "sha": clip(run.head_sha, 64),
        "run_id": run.id,
        "run_attempt": run.run_attempt,
        "run_number": run.run_number,
        "workflow": name,
        "commit_title": clip(run.display_title, 300),
        "conclusion": clip(run.conclusion, 40),
        "trigger": clip(run.event, 60),
        "actor": login(run.trigger_actor, run.actor, payload.sender),
        "url": web_address(run.html_url),
    }
    title = f"{name or 'CI'} {outcome} on {branch} of {repository}"
    return [origin.event(f"ci.{outcome}", repository, title, attributes, at)]


def action_run(origin: Origin, body: bytes) -> list[Event]:
    """`ci.failed`, `ci.succeeded`, and `ci.recovered` (which Forgejo sends beside the success of
    a workflow that had failed) of Forgejo Actions."""
    payload = read_payload(body, ActionRunEvent)
    run, outcome = payload.run, _ACTIONS.get(payload.action)
    if outcome is None:
        return []
    at = when(run.stopped, run.updated)
    repository, branch = clip(run.repository.full_name, 200), clip(run.prettyref, 250)
    name = _file(run.workflow_id)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": branch,
        "sha": clip(run.commit_sha, 64),
        "run_id": run.id,
        "run_number": run.index_in_repo,
        "workflow": name,
        "commit_title": clip(run.title, 300),
        "conclusion": clip(run.status, 40),
        "trigger": clip(run.trigger_event, 60),
        "actor": login(run.trigger_user),
        "url": web_address(run.html_url),
    }
    title = f"{name or 'CI'} {outcome} on {branch} of {repository}"
    return [origin.event(f"ci.{outcome}", repository, title, attributes, at)]


def status(origin: Origin, body: bytes) -> list[Event]:
    """`ci.failed` and `ci.succeeded` as another CI said; Gitea does not say of which branch."""
    payload = read_payload(body, StatusEvent)
    outcome = _STATES.get(payload.state)
    if outcome is None:
        return []
    at = when(payload.updated_at, payload.created_at)
    repository, sha = clip(payload.repository.full_name, 200), clip(payload.sha, 64)
    name = clip(payload.context, 200)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": "",
        "sha": sha,
        "workflow": name,
        "description": clip(payload.description, 500),
        "conclusion": clip(payload.state, 40),
        "actor": login(payload.sender),
        "url": web_address(payload.target_url),
    }
    title = f"{name or 'CI'} {outcome} at {sha[:8]} of {repository}"
    return [origin.event(f"ci.{outcome}", repository, title, attributes, at)]


def _file(path: str) -> str:
    """`.gitea/workflows/build.yaml@refs/heads/main` as `build.yaml`."""
    return clip(path.partition("@")[0].rpartition("/")[2], 200)
