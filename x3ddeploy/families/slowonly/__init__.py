"""SlowOnly: a 3-D ResNet that looks across time in its last stages."""
