"""`python -m aerofn` is `aerofn`."""

from aerofn.cli import main

if __name__ == "__main__":
    main()
