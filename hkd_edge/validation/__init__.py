"""`hkd-edge validate`: a run or a bundle judged as it is, and the verdict in the forms that machines read."""
