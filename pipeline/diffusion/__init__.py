"""Camera-conditioned multi-view diffusion.

Notation, used in every module: ``x`` = x0 + sigma * noise (variance exploding, as in Karras et al. 2022), a
*denoiser* is ``(x, sigma) -> x0``, latents are [batch, views, channels, rows, columns]. Every objective and
every schedule of the literature is written in these terms, so any sampler works with any trained network.
"""
