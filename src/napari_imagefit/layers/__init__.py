"""Link between napari's layers and fits. It knows napari's data model, never Qt."""
