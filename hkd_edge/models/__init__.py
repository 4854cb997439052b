"""Networks: teachers and students are the same families in different sizes."""
