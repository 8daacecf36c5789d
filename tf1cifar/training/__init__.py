"""Sessions and run folders: everything that runs the graph, records a run and restores it."""
