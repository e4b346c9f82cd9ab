"""The three verbs of the public API, and the one place where arrays in memory and Dask arrays part.

It may import all packages of `imaging`.
"""
