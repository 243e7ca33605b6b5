"""Argo CD: its notifications, syncing, rolling back."""

from integrations.argocd.integration import ArgoCDIntegration

__all__ = ["ArgoCDIntegration"]
