"""What GitHub's events say of builds and deployments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

from core.records import Event
from integrations.github.payloads import (
    Account,
    CheckRunEvent,
    CheckSuiteEvent,
    DeploymentStatusEvent,
    Repository,
    WorkflowJobEvent,
    WorkflowRun,
    WorkflowRunEvent,
)
from integrations.happening import Origin
from integrations.text import clip, tidy, web_address
from integrations.webhooks import MalformedDeliveryError, read_payload

_OUTCOMES: Mapping[str, str] = {
    "success": "succeeded",
    "failure": "failed",
    "timed_out": "failed",
    "startup_failure": "failed",
}
_DEPLOYS: Mapping[str, str] = {
    "success": "succeeded",
    "failure": "failed",
    "error": "failed",
    "in_progress": "started",
}
_ACTIONS_APP = "github-actions"
"""Its suites and checks are told as workflow runs and jobs already."""


def workflow_run(origin: Origin, body: bytes) -> list[Event]:
    """`ci.started`, `ci.failed`, `ci.succeeded`; a cancelled or skipped run is none of them."""
    payload = read_payload(body, WorkflowRunEvent)
    run = payload.workflow_run
    outcome = _outcome(payload.action, run.conclusion)
    if payload.action == "in_progress":
        outcome = "started"
    if outcome is None:
        return []
    repository, workflow = clip(payload.repository.full_name, 200), clip(run.name, 200)
    branch = _branch(run)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": branch,
        "sha": clip(run.head_sha, 64),
        "run_id": run.id,
        "run_attempt": run.run_attempt,
        "run_number": run.run_number,
        "workflow": workflow,
        "url": web_address(run.html_url),
        "actor": clip((run.triggering_actor or run.actor or payload.sender).login, 100),
        "conclusion": clip(run.conclusion, 40),
        "commit_title": clip(run.display_title, 300),
        "trigger": clip(run.event, 60),
    }
    return [
        origin.event(
            f"ci.{outcome}",
            repository,
            f"{workflow or 'CI'} {outcome} on {branch} of {repository}",
            attributes,
            run.updated_at,
        )
    ]


def _branch(run: WorkflowRun) -> str:
    """`main`, or `OWNER:main` where it is a fork's: anybody can call theirs as ours is called."""
    branch = clip(run.head_branch, 200)
    head, here = run.head_repository, run.repository
    if head is None or here is None or head.full_name.lower() == here.full_name.lower():
        return branch
    return f"{clip(head.full_name.partition('/')[0], 40)}:{branch}"


def check_suite(origin: Origin, body: bytes) -> list[Event]:
    """`ci.failed` and `ci.succeeded` of other CI systems than GitHub Actions."""
    payload = read_payload(body, CheckSuiteEvent)
    suite = payload.check_suite
    outcome = _outcome(payload.action, suite.conclusion)
    if outcome is None or (suite.app and suite.app.slug == _ACTIONS_APP):
        return []
    repository, branch = clip(payload.repository.full_name, 200), clip(suite.head_branch, 250)
    app = clip(suite.app.name if suite.app else "", 200)
    commit = f"{payload.repository.html_url}/commit/{suite.head_sha}"
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": branch,
        "sha": clip(suite.head_sha, 64),
        "run_id": suite.id,
        "workflow": app,
        "url": web_address(commit if payload.repository.html_url else ""),
        "actor": clip(payload.sender.login, 100),
        "conclusion": clip(suite.conclusion, 40),
    }
    title = f"{app or 'CI'} {outcome} on {branch} of {repository}"
    return [origin.event(f"ci.{outcome}", repository, title, attributes, suite.updated_at)]


def workflow_job(origin: Origin, body: bytes) -> list[Event]:
    """`ci.job_failed` and `ci.job_succeeded`: one job of a workflow run."""
    payload = read_payload(body, WorkflowJobEvent)
    job = payload.workflow_job
    more: dict[str, JsonValue] = {
        "branch": clip(job.head_branch, 250),
        "sha": clip(job.head_sha, 64),
        "run_id": job.run_id,
        "run_attempt": job.run_attempt,
        "workflow": clip(job.workflow_name, 200),
        "job_id": job.id,
        "url": web_address(job.html_url),
    }
    outcome = _outcome(payload.action, job.conclusion)
    return _job(
        origin, outcome, job.name, job.completed_at, payload.repository, payload.sender, more
    )


def check_run(origin: Origin, body: bytes) -> list[Event]:
    """The same of another app's check, which GitHub calls a check run."""
    payload = read_payload(body, CheckRunEvent)
    run = payload.check_run
    if run.app and run.app.slug == _ACTIONS_APP:
        return []
    more: dict[str, JsonValue] = {
        "branch": clip(run.check_suite.head_branch if run.check_suite else "", 250),
        "sha": clip(run.head_sha, 64),
        "workflow": clip(run.app.name if run.app else "", 200),
        "job_id": run.id,
        "url": web_address(run.html_url),
    }
    outcome = _outcome(payload.action, run.conclusion)
    return _job(
        origin, outcome, run.name, run.completed_at, payload.repository, payload.sender, more
    )


def deployment_status(origin: Origin, body: bytes) -> list[Event]:
    """`deploy.started`, `deploy.succeeded`, `deploy.failed`; other states are none of them."""
    payload = read_payload(body, DeploymentStatusEvent)
    status, deployment = payload.deployment_status, payload.deployment
    outcome = _DEPLOYS.get(status.state)
    if outcome is None:
        return []
    repository = clip(payload.repository.full_name, 200)
    environment = clip(status.environment or deployment.environment, 200)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "environment": environment,
        "branch": clip(deployment.ref, 250),
        "sha": clip(deployment.sha, 64),
        "deployment_id": deployment.id,
        "state": clip(status.state, 40),
        "description": tidy(status.description, 500),
        "url": web_address(status.log_url) or web_address(status.target_url),
        "environment_url": web_address(status.environment_url),
        "actor": clip((status.creator or payload.sender).login, 100),
    }
    title = f"Deployment of {repository} to {environment} {outcome}"
    return [origin.event(f"deploy.{outcome}", repository, title, attributes, status.updated_at)]


def _job(
    origin: Origin,
    outcome: str | None,
    name: str,
    at: datetime | None,
    repository: Repository,
    sender: Account,
    more: dict[str, JsonValue],
) -> list[Event]:
    if outcome is None:
        return []
    if at is None:
        raise MalformedDeliveryError("a completed job that says nowhere when it ended")
    where, job = clip(repository.full_name, 200), clip(name, 200)
    attributes: dict[str, JsonValue] = {
        "repository": where,
        "job": job,
        "actor": clip(sender.login, 100),
        **more,
    }
    title = f"{job} {outcome} on {more['branch']} of {where}"
    return [origin.event(f"ci.job_{outcome}", where, title, attributes, at)]


def _outcome(action: str, conclusion: str | None) -> str | None:
    return _OUTCOMES.get(conclusion or "") if action == "completed" else None
