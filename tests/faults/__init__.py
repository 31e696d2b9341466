"""What can go wrong with a commit, call by call; and tests that the tests would notice."""
