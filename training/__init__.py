"""The session floor: the training loop, the run folder, the records."""
