"""What Countersign is about: plans, guardrails, countersignatures, runs, models, knowledge.

Nothing in this package knows Slack or serves HTTP to the outside: edges translate, core decides.
"""
