"""What a run will cost, said before anything is computed."""
