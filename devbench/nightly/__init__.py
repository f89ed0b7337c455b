"""One night on one host: measure what is due on the connected devices, compare it, report it."""
