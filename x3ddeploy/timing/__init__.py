"""How long a network takes, block by block too, and in what it really computes."""
