"""Drawings over the viewer's layers, and the view on them: contours, legends, shown layers, drawing of regions.

May import `sections`, `plots` and `widgets`.
"""
