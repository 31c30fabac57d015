"""The latent codec: a small convolutional autoencoder at an eighth of the resolution."""
