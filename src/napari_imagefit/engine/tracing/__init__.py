"""User functions as JAX traces them: compared by value, and checked to be element-wise in the samples.

It imports `core` only.
"""
