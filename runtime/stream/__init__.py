"""The in-vehicle loop: frames from a source through a network and its head to an output, timed by stage."""
