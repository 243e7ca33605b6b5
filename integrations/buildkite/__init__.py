"""Buildkite: its webhooks, and its API."""

from integrations.buildkite.integration import BuildkiteIntegration

__all__ = ["BuildkiteIntegration"]
