"""What the engine and the Blender add-on share: NumPy and the standard library alone."""
