"""The inspector dock: data, fit and residual at the pointer and at pins, facts, histograms.

It may import `plots` and `widgets`.
"""
