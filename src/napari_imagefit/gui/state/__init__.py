"""What the dock knows and does without showing it: choices read from its fields, the fit under way, history and undo.

May import `sections`, `plots`, `widgets` and `canvas`.
"""
