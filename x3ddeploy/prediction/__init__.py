"""Actions in videos that nobody labelled: keypoint files, sliding windows, annotated videos."""
