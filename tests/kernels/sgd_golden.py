"""Prints the golden values of optimizer_step_test.cc: three steps of torch.optim.SGD (run with torch 2.13.0)."""
import torch

start = torch.tensor([0.5, -1.25, 2.0, -0.001, 1e-3, 3.0, -0.75])
weights = start.clone().requires_grad_()
optimizer = torch.optim.SGD([weights], lr=0.05, weight_decay=0.1)
for step in range(3):
    weights.grad = torch.tensor([0.1 * (i + 1) * (-1) ** (i + step) / (step + 1) for i in range(7)])
    optimizer.step()
    print(["%.9g" % x for x in weights.detach().tolist()])
