"""Programs around `hkd_edge_runtime`, to be copied and changed; start them from the folder above this one."""
