"""Ways to run the two static halves of the network: one small file each, the same three calls."""
