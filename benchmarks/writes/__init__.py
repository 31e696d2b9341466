"""How fast, how small and how dear writes and transfers are; see README.md in the folder above."""
