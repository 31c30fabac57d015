"""Small shipped weights, demo photos, gallery pictures and their attribution."""
