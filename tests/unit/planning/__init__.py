"""The plans: overlay, commit, fold, map, successor."""
