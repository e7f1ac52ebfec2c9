"""Where images come from: the data sets, and folders of images."""
