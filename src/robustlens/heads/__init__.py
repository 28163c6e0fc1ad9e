"""Last layers in place of an architecture's own linear one, one file each (`head` of an architecture)."""
