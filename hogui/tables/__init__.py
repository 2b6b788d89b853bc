"""Qt item models and the tables that show them."""
