"""Models on torch: their weights, their caches, and what constrains them."""
