"""Kubernetes: restarting, scaling, rolling back, draining, looking."""

from integrations.kubernetes.integration import KubernetesIntegration

__all__ = ["KubernetesIntegration"]
