"""What can be fitted: models, formulas, sums, ties, and their values, derivatives and starts.

It imports `core` only.
"""
