"""The main job on real input: the Complete Journey data set through a server on this machine."""
