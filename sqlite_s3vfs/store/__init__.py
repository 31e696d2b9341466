"""Object stores: the port, and its implementations for S3, a local directory and memory."""
