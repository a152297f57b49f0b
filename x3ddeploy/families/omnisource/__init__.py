"""OmniSource (https://arxiv.org/abs/2003.13042): one network trained on images and videos; its half of videos."""
