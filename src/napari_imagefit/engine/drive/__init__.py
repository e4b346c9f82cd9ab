"""Fitting loop, from a problem to results: loading samples, starts, steps, threads, progress.

One loop for all: load, start, then sums and a step until a fit has ended, then its covariance and flags. Few fits and
large images are driven in NumPy, with nothing compiled but the sums; wide batches by a compiled step. It imports
`core`, `linalg`, `models`, `sums` and `solver`.
"""
