"""Common parts of the three jobs: settings and their checks, selections, chunks, units and reports.

It imports nothing else of `imaging`.
"""
