"""The format's codecs and rules."""
