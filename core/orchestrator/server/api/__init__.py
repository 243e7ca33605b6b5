"""The HTTP side of the model server: bodies, endpoints, metrics."""
