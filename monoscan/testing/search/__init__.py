"""Examples to check laws on, and the smallest one that breaks them."""
