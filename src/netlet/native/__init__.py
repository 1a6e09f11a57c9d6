"""Training steps compiled for the very net, for CPUs."""
