"""Threads and timers of the window: workers, the latest of several, and waiting until something has come to rest.

It imports nothing of `gui`.
"""
