"""Networks, a room each. A stage of the toolchain imports none of them; it reads the contract of a bundle."""
