"""Bitbucket, Cloud and Data Center: their webhooks."""

from integrations.bitbucket.integration import BitbucketIntegration

__all__ = ["BitbucketIntegration"]
