"""Sums over the samples of a fit, compiled once for each model: cost, gradient and JᵀJ.

The sums over residuals at the end of a fit belong here, too. It imports `core`, `noise` and `models`.
"""
