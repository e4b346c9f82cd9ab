"""Common parts of the engine: errors, statuses, options, types, devices, threads, and the store of programs.

It imports nothing else of the package.
"""
