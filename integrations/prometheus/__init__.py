"""Prometheus, and what answers its query API: instant and range queries."""

from integrations.prometheus.integration import PrometheusIntegration

__all__ = ["PrometheusIntegration"]
