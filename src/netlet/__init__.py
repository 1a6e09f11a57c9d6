"""Design, check, train, explain and ship tiny convolutional nets that fit a budget."""
