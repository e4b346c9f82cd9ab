"""Starts that can be grabbed: ellipses over the image, lines over a curve.

They may import `inspector`, `sections`, `plots` and `widgets`; `curve_starts` only once there is an inspector.
"""
