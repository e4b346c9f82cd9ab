"""From images to problems and back to maps. It knows arrays, never napari."""
