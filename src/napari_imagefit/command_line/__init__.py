"""Commands; `app` defines how they are called."""
