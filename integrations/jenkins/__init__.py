"""Jenkins: its builds as events, and starting them."""

from integrations.jenkins.integration import JenkinsIntegration

__all__ = ["JenkinsIntegration"]
