"""Objects in buckets and folders, as far as programs on the operator's computer write and read them."""
