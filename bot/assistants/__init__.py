"""The personas at work: who answers, what it rests on, which workflow is meant."""
