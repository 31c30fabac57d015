"""A scene grows: what cameras do not see yet is generated, placed and folded in."""
