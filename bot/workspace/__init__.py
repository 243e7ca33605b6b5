"""A local stand-in for Slack: the part of it that the bot uses, on loopback, with a page.

The bot does not know whether it talks to Slack or to this: Web API under `/api/`, Socket Mode or
signed HTTP delivery, `response_url`s. The page talks the JSON API of `protocol`.
"""
