"""Two or more runs side by side: what differs in their recipes, and whether the difference in accuracy can be told."""
