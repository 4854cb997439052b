"""`hkd-edge data import`: images in the forms of other tools become files and a list of them."""
