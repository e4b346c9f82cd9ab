"""What the three jobs have in common: settings and their checks, selections, chunks, units and reports.

It imports nothing else of `imaging`.
"""
