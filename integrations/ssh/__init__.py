"""Programs on other machines, by OpenSSH."""

from integrations.ssh.integration import SshIntegration

__all__ = ["SshIntegration"]
