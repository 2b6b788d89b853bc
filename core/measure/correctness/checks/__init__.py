"""What a check is made of: a small copy of the run, a second way to compute it, differences."""
