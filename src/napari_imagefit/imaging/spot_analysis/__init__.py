"""Quantities derived from spot fits: photometry, precision, beads, and noise that grows with the signal.

It may import `spots` and what that may.
"""
