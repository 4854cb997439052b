"""What `hkd-edge concepts` works on: what runs and folders tell of classes, and where hierarchies are found."""
