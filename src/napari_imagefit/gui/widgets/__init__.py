"""Small widgets and helpers that know nothing of fits: forms, combo boxes of layers, numbers, docks.

They may import `background`.
"""
