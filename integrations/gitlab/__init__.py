"""GitLab, gitlab.com and self-managed: webhooks, pipelines, jobs, merge requests."""

from integrations.gitlab.integration import GitLabIntegration

__all__ = ["GitLabIntegration"]
