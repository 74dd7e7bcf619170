"""What several tasks compose alike, as the config says."""
