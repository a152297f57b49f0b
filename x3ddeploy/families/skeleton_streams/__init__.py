"""Graph convolutions on features of one skeleton: joints, bones, and the motion of either, fused by weights."""
