"""Geometry of layers: transforms and units, drawn regions as masks, the position of output layers, NIfTI's orientation.

It imports nothing else of `layers`.
"""
