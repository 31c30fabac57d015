"""The whole job: a photo in, a place to walk through out."""
