"""A chain's day with every flow of a till in it, and the till's own account of it."""
