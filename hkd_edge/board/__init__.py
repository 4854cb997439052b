"""Measures a bundle on a board over the user's own ssh: copies wheel and bundle there and brings the figures back."""
