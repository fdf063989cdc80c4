"""``python -m samkit`` is the ``samkit`` command."""

from samkit.cli import main

if __name__ == "__main__":
    main()
