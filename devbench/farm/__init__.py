"""Many hosts that share one queue, one store and one storage of files."""
