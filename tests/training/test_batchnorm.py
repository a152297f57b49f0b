"""BatchNorm over processes is BatchNorm of the whole batch: outputs, gradients, statistics."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from x3ddeploy.training.batchnorm import share_batch_norm


def _network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 5, 1), nn.Sequential(nn.BatchNorm3d(5)), nn.ReLU())


def _values():
    torch.manual_seed(1)
    return torch.randn(6, 3, 2, 4, 4) * 3 + 50  # a mean far from 0 costs digits where moments are subtracted


def _process(rank, path):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/rendezvous", rank=rank, world_size=2)
    network = _network()
    share_batch_norm(network)
    values = _values()[rank::2].requires_grad_()
    out = network(values)
    (out**2).sum().backward()
    weight = network[0].weight.grad.clone()
    dist.all_reduce(weight)
    torch.save([out.detach(), values.grad, weight, network[1][0].state_dict()], f"{path}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_compute_what_one_does(tmp_path):
    network, values = _network(), _values().requires_grad_()
    out = network(values)
    (out**2).sum().backward()
    mp.start_processes(_process, (str(tmp_path),), nprocs=2, start_method="fork")  # which imports nothing
    for rank in range(2):
        shared_out, gradient, weight, state = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(shared_out, out[rank::2].detach(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(gradient, values.grad[rank::2], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(weight, network[0].weight.grad, rtol=1e-3, atol=1e-2)
        for name, value in network[1][0].state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-4)


def test_weights_are_shared_with_the_optimiser(tmp_path):
    network = _network()
    weights = list(network.parameters())
    share_batch_norm(network)
    assert all(ours is theirs for ours, theirs in zip(network.parameters(), weights, strict=True))
