"""The runtime: files, devices, data, training and the command line: everything that does input and output."""
