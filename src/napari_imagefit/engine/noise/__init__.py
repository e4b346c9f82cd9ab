"""Samples, and what their residuals cost: noise models (Gaussian, Poisson, Rician, cameras) and robust losses.

What a fit minimises is defined here, sample by sample; `sums` adds it up. It imports `core`.
"""
