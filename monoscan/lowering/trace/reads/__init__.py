"""What ``combine`` reads beside its arguments: found without running any of it, and watched."""
