"""The client of one model server or of several: choice, health, retries."""
