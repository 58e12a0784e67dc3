"""What works on the repository itself: `make check` and the docs use it."""
