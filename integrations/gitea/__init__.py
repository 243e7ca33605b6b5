"""Gitea and Forgejo: their webhooks."""

from integrations.gitea.integration import GiteaIntegration

__all__ = ["GiteaIntegration"]
