"""What is asked: frozen values, JSON both ways, no torch.

Everything may import this package; it imports nothing of the project but ``resources``.
"""
