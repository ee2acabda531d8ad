"""Images: PNG and JPEG files, MNIST's and CIFAR-10's archives, pixels as tokens. A leaf: nothing above is imported."""
