"""What must hold: laws as data, and the checks of them."""
