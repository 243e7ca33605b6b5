"""Roles and policy, redaction, secrets and the audit chain."""
