"""The two-stream recognizer in the form that is deployed, exact up to float rounding."""
