"""Named data sets that are published as files: finding, fetching, unpacking and checking them."""
