"""What a run shows: progress while it works, tables when it is done. Computes nothing."""
