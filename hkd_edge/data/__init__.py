"""Data sets, splits and batched augmentation. Images are uint8 (N, H, W, C) everywhere."""
