"""README, documents and examples do what they say, and the rules of the house hold."""
