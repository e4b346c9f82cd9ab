"""Functions of users as JAX traces them: told by their value, and proved to treat every sample for itself.

It imports `core` only.
"""
