"""The table of parameters in the dock: a row each, with start, bounds, badges and presets.

It may import `widgets` and `background`.
"""
