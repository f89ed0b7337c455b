"""Results that travel: out of a store into files, from files or from another store into this one."""
