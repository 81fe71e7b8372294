"""Reading a stack's config: typed, with every problem told by its key. Knows no setting by name."""
