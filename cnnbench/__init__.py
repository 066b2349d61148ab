"""cnnbench: true numbers about convolutional networks on your machine."""
