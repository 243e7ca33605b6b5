"""Slack's Web API, the methods that the bot uses, one module for each family."""
