"""Where layers lie: transforms and units, drawn regions as masks, and the place of output layers.

It imports nothing else of `layers`.
"""
