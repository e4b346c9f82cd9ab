"""What is summed up over the samples of a fit, and compiled once for each model: cost, gradient and JᵀJ.

The sums over residuals at the end of a fit belong here, too. It imports `core`, `noise` and `models`.
"""
