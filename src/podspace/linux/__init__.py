"""The kernel, thinly: system calls by their own names, raising plain OSError with the path."""
