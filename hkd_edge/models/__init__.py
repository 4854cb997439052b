"""Networks: teachers and students are the same family in different sizes."""
