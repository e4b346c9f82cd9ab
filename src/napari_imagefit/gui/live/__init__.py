"""Fits that follow the hand: what starts them, where they run, and how what they find is shown."""
