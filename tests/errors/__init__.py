"""What users get to see when something is wrong: classes, codes, messages, and an untouched bucket."""
