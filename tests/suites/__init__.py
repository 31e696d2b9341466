"""Public test suites of others, run over the VFS: see README.md."""
