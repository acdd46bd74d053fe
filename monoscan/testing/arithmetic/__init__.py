"""The arithmetics that laws are checked in, exact and the machine's own."""
