"""The ground under every recognizer that MMAction2's registered classes build: config, classes, contract."""
