"""Relabelling: a data set's images get labels of the network's label space, within what a relation allows."""
