"""Tools of MCP servers as actions (https://modelcontextprotocol.io)."""

from integrations.mcp.integration import McpIntegration

__all__ = ["McpIntegration"]
