"""Detection and the spots dock: table, filters, beads and files.

It may import `sections`, `plots` and `widgets`.
"""
