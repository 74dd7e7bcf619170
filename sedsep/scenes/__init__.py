"""Scenes: files -> layout -> sampler or metadata -> SceneSpec -> renderer -> Scene -> collate -> Batch."""
