"""Countersign as an MCP server: programs such as editors ask, people sign in Slack."""
