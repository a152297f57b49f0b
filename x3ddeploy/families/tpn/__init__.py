"""TPN: a temporal pyramid over the last stages of SlowOnly or TSM."""
