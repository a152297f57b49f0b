"""Single faults, where they are put, and how it is shown that each changes something."""
