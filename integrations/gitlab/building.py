"""What GitLab's events say of pipelines, jobs and deployments."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from core.records import Event
from integrations.gitlab.happening import Origin
from integrations.gitlab.payloads import DeploymentEvent, JobEvent, PipelineEvent, User
from integrations.text import clip, web_address
from integrations.webhooks import MalformedDeliveryError, read_payload

_OUTCOMES: Mapping[str, str] = {"running": "started", "success": "succeeded", "failed": "failed"}
_MAX_JOBS = 20


def pipeline(origin: Origin, body: bytes) -> list[Event]:
    """`ci.started`, `ci.failed`, `ci.succeeded`; a cancelled or skipped pipeline, or one that
    waits, is none of them."""
    payload = read_payload(body, PipelineEvent)
    run = payload.object_attributes
    outcome = _OUTCOMES.get(run.status)
    if outcome is None:
        return []
    repository, branch = clip(payload.project.path_with_namespace, 300), clip(run.ref, 250)
    workflow = clip(run.name, 200)
    failed = [b.name for b in payload.builds if b.status == "failed" and not b.allow_failure]
    message = payload.commit.message if payload.commit else ""
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": "" if run.tag else branch,
        "tag": branch if run.tag else "",
        "sha": clip(run.sha, 64),
        "run_id": run.id,
        "run_number": run.iid,
        "workflow": workflow,
        "url": web_address(run.url),
        "actor": _actor(payload.user),
        "conclusion": clip(run.status, 40),
        "failed_jobs": clip(", ".join(failed[:_MAX_JOBS]), 500),
        "number": payload.merge_request.iid if payload.merge_request else 0,
        "commit_title": clip(message.partition("\n")[0], 300),
        "trigger": clip(run.source, 60),
    }
    title = f"{workflow or 'Pipeline'} {outcome} on {branch} of {repository}"
    at = run.finished_at or run.created_at
    return [origin.event(f"ci.{outcome}", repository, title, attributes, at)]


def job(origin: Origin, body: bytes) -> list[Event]:
    """`ci.job_failed` and `ci.job_succeeded`: one job of a pipeline."""
    payload = read_payload(body, JobEvent)
    outcome = _OUTCOMES.get(payload.build_status)
    if outcome in (None, "started"):
        return []
    at = payload.build_finished_at or payload.build_created_at
    if at is None:
        raise MalformedDeliveryError("not a JobEvent: it says nowhere when the job ended")
    repository, ref = clip(payload.project.path_with_namespace, 300), clip(payload.ref, 250)
    name = clip(payload.build_name, 200)
    page = f"{payload.project.web_url}/-/jobs/{payload.build_id}"
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "branch": "" if payload.tag else ref,
        "tag": ref if payload.tag else "",
        "sha": clip(payload.sha, 64),
        "run_id": payload.pipeline_id,
        "job": name,
        "job_id": payload.build_id,
        "stage": clip(payload.build_stage, 100),
        "reason": clip(payload.build_failure_reason, 100),
        "allow_failure": payload.build_allow_failure,
        "actor": _actor(payload.user),
        "url": web_address(page if payload.project.web_url else ""),
    }
    title = f"{name} {outcome} on {ref} of {repository}"
    return [origin.event(f"ci.job_{outcome}", repository, title, attributes, at)]


def deployment(origin: Origin, body: bytes) -> list[Event]:
    """`deploy.started`, `deploy.succeeded`, `deploy.failed`; a cancelled one is none of them."""
    payload = read_payload(body, DeploymentEvent)
    outcome = _OUTCOMES.get(payload.status)
    if outcome is None:
        return []
    repository = clip(payload.project.path_with_namespace, 300)
    environment = clip(payload.environment, 200)
    attributes: dict[str, JsonValue] = {
        "repository": repository,
        "environment": environment,
        "branch": clip(payload.ref, 250),
        "sha": clip(payload.short_sha, 64),
        "deployment_id": payload.deployment_id,
        "state": clip(payload.status, 40),
        "commit_title": clip(payload.commit_title, 300),
        "url": web_address(payload.deployable_url),
        "environment_url": web_address(payload.environment_external_url),
        "actor": _actor(payload.user),
    }
    title = f"Deployment of {repository} to {environment} {outcome}"
    at = payload.status_changed_at
    return [origin.event(f"deploy.{outcome}", repository, title, attributes, at)]


def _actor(user: User | None) -> str:
    return clip(user.handle if user else "", 100)
