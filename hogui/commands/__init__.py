"""What menus, buttons and keys do: each module wires some actions to the session."""
