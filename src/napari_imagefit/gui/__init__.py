"""The dock widget: thin, it holds no numbers.

`widget` puts the dock together, `wiring` connects its parts; `commands` are menus and palette entries.
"""
