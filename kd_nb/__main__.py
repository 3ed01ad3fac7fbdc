"""`python -m kd_nb` is the `kd-nb` command; accelerate starts several of it."""
from kd_nb.cli import main

if __name__ == "__main__": main()
