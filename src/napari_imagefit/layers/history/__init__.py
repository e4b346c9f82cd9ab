"""What was fitted and what was set: entries that can be shown again, compared and restored, and undo. No Qt."""
