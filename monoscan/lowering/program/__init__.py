"""The scalar program that everything else reads: its instructions, and their readers."""
