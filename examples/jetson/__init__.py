"""A service for the Jetson: classifies what arrives in a folder, or a camera's frames."""
