"""Numbers that are part of what a splat looks like, shared by all backends; those of gsplat 1.5."""

BLUR = 0.3
"""Added to the diagonal of every projected covariance, in square pixels."""
MAX_ALPHA = 0.999
"""No splat covers a pixel more than this."""
MIN_ALPHA = 1 / 255
"""A splat that covers a pixel less than this is skipped there."""
MIN_TRANSMITTANCE = 1e-4
"""The first splat that would leave a pixel with no more than this is not drawn, nor any behind it."""
MAX_EXTENT = 3.33
"""Standard deviations beyond which no opacity reaches ``MIN_ALPHA``."""
VIEW_MARGIN = 0.15
"""The projection is linearised no further outside the image than this fraction of its width and height."""
