"""Training machinery that knows nothing of what is trained: loop, checkpoints, averages, processes."""
