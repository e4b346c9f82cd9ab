"""The three verbs of the public API: from arguments to a request, which `chunked.dispatch` runs.

It may import all packages of `imaging`.
"""
