"""Plots of a curve, a surface and a spot beside their fits.

They may import `widgets`.
"""
