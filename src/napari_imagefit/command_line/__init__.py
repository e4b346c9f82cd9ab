"""What the commands do; `app` says how they are called."""
