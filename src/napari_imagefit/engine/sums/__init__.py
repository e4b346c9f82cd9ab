"""What is summed up over the samples of a fit, and compiled once for each model: cost, gradient and JᵀJ.

Noise and losses, cameras, and the sums over residuals at the end of a fit belong here. It imports `core` and `models`.
"""
