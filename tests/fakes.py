"""Small real stand-ins that tests hand in: state, no mocks."""
