"""The dock widget: thin, it holds no numbers."""
