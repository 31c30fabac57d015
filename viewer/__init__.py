"""Walk through scenes in the browser. Knows scenes, knows nothing of diffusion."""
