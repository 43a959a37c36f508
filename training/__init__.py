"""Programs that make models: ``python -m training.pretrain``, ``training.finetune``, ``training.evaluate``."""

import os

# Threads of torch that wait by spinning take the processor from those they wait for as soon as anything else runs:
# beside two other jobs on two cores a training step took 1.4 s, and 0.17 s with this. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
