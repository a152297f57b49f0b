"""The verbs as functions; the package `x3ddeploy` gives them by name, and the command line is a layer over them."""
