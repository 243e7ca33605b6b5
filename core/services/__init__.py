"""Protocols between core and what it needs from models and integrations."""
