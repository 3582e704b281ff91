"""The command line: options, what is printed, and exit statuses.

Nothing imports it. Here click is imported.
"""
