"""The Model Context Protocol: winnow as tools, resources and prompts of an agent, over stdio and HTTP."""
