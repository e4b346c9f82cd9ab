"""The dock widget: thin, it holds no numbers.

`widget` puts the dock together, `wiring` connects its parts; `menu_commands` are menus and palette entries.
"""
