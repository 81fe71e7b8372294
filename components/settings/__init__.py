"""What a stack's config says: the stack, its machines, and what is wrong with them."""
