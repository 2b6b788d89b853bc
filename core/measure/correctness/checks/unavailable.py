"""What is raised where a check cannot be made."""


class CheckUnavailable(ValueError):
    """No check could be made; the message is one sentence that says why."""
