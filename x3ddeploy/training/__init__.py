"""Training in MMAction2's ecosystem: registered modules, losses, hooks, and the run of MMEngine's Runner."""
