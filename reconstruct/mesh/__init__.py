"""Triangle meshes from scenes."""
