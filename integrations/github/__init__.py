"""GitHub and GitHub Enterprise Server: webhooks, re-running workflows, issues."""

from integrations.github.integration import GitHubIntegration

__all__ = ["GitHubIntegration"]
