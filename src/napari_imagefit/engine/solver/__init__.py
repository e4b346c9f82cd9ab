"""The trust-region method as formulas: bounds, steps, convergence, covariance, statistics, flags.

Nothing here loops over samples or fits: all is written on separate arrays ``(B,)`` and runs in NumPy, on the numbers of
a single fit, or under JAX. It imports `core`, `linalg`, `models` and `sums`.
"""
