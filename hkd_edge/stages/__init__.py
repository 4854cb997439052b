"""One module per stage of the pipeline: what it depends on, and how it does its work with the rooms beside it."""
