"""Models, their sums and ties, and their predictions and starts.

It imports `core`, `linalg`, `functions` and `tracing`.
"""
