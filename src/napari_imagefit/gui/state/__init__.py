"""State and actions of the dock without controls: choices read from its fields, the fit under way, history and undo.

May import `sections`, `plots`, `widgets` and `canvas`.
"""
