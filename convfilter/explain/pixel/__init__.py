"""The arithmetic behind one pixel of an output, followed back through every layer."""
