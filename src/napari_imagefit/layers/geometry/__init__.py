"""Geometry of layers: transforms and units, drawn regions as masks, and the place of output layers.

It imports nothing else of `layers`.
"""
