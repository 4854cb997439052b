"""`hkd-edge init`: looks at a folder of images and writes a recipe that runs as it is, with the reasons beside it."""
