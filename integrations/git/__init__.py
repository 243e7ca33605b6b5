"""Git repositories on this machine: reverting commits, tagging, reading the log."""

from integrations.git.integration import GitIntegration

__all__ = ["GitIntegration"]
