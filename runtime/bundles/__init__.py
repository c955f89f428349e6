"""Bundles and the engines beside them: what is inside, who vouches for it, and how it is opened."""
