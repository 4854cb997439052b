"""Studies: methods x seeds x label budgets x students by the pipeline's own stages, and what can be told of them."""
