"""The models that the server has: loaded, unloaded, and with which adapters."""
