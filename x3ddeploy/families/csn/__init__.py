"""CSN: a 3-D ResNet whose 3 x 3 x 3 convolutions are depthwise."""
