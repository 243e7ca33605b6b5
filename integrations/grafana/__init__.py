"""Grafana: notifications of its alerting, annotations, panels."""

from integrations.grafana.integration import GrafanaIntegration

__all__ = ["GrafanaIntegration"]
