"""The loops: how a kernel walks its data. One layout a file, one driver for all."""
