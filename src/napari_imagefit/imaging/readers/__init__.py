"""Readers of arrays in files, which need not fit into memory: a file for each format, `<format>_reader.py`.

`registry` tells which reader takes which file, and `stored_arrays` opens it. A reader of another format, `nifti_reader`
say, is such a file and an entry in the registry. NIfTI is not read here yet: such data come as napari layers from other
plugins, and `layers.geometry.nifti_orientation` finds how these lie in their file. It may import `fitting`.
"""
