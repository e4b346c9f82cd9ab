"""History of fits and settings: entries that can be shown again, compared and restored, and undo. No Qt."""
