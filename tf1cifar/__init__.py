"""TensorFlow 1's way of working on today's TensorFlow, for CIFAR-10 and one's own pictures.

The scripts beside this package are its faces. From the ground up it holds data and recipes,
networks and the graph, and the session that trains. A module imports modules of its own floor and
of the floors below.
"""
