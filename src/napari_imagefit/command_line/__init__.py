"""What the commands do; `napari_imagefit.__main__` says how they are called."""
