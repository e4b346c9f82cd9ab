"""Region fits: one surface over the pixels of each region and frame.

It may import `fitting` and `layer_data`.
"""
