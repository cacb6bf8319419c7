"""The formats that a snapshot is exported to, one file each, and the roster of them."""
