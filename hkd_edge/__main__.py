"""`python -m hkd_edge` is `hkd-edge`, for torchrun and the like."""

from hkd_edge.cli import main

if __name__ == "__main__":
    main()
