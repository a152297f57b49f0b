"""Graph convolutions on skeletons: ST-GCN, ST-GCN++ and 2s-AGCN."""
