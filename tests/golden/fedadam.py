"""FedAdam (Reddi et al. 2021, algorithm 2) written anew with numpy: the golden values of
tests/coordinator/core/outer_optimizer_test.cc:  python3 tests/golden/fedadam.py

The state is kept in fp32 and everything else is double, as the coordinator has it; z is rounded once a step.
"""
import numpy as np

RATE, BETA1, BETA2, TAU = 0.01, 0.9, 0.99, 1e-3

z = np.array([0.5, -0.25, 1e-3, 100.0], dtype=np.float32)
targets = np.array([[0.49, -0.25, 2e-3, 101.0], [0.51, -0.2, -1e-3, 99.0], [0.4, -0.26, 1e-3, 100.5]])
m = np.zeros(4, dtype=np.float32)
v = np.full(4, TAU**2, dtype=np.float32)  # v_0 = tau^2
for combined in targets:
    delta = combined - z.astype(np.float64)  # the paper's Delta: where the clients went
    m = (BETA1 * m.astype(np.float64) + (1 - BETA1) * delta).astype(np.float32)
    v = (BETA2 * v.astype(np.float64) + (1 - BETA2) * delta**2).astype(np.float32)
    z = (z.astype(np.float64) + RATE * m.astype(np.float64) / (np.sqrt(v.astype(np.float64)) + TAU)).astype(np.float32)
    print("z", ", ".join(float(x).hex() for x in z))
# The coordinator's momentum is of d = -Delta.
print("m", ", ".join(float(-x).hex() for x in m))
print("v", ", ".join(float(x).hex() for x in v))
