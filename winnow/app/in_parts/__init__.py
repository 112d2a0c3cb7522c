"""A question that asks several: divided, retrieved, ranked and answered part by part."""
