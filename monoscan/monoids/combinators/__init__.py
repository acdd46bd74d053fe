"""Operators made of operators; their facts, events and identities are inferred."""
