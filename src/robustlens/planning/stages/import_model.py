"""Published weights, which are read and checked by a network of their architecture."""

START_UP = "network"
