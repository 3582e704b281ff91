"""Sources to results: options, memory, workers, and ``run_files``, the library's door to pictures in files.

It may import ``explain``, ``files`` and ``images``; it imports no click, prints nothing and never exits.
"""
