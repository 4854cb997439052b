"""Drawings by theme. Each function returns inline SVG; what it shows it also says in words."""
