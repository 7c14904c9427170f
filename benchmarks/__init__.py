"""What do our claims rest on? One file a claim; `make bench` runs them all."""
