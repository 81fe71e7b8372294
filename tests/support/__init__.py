"""What several tiers of tests share: a `pulumi` runner, throw-away servers."""
