"""Programs that make models: ``python -m training.pretrain``, ``training.finetune``, ``training.evaluate``."""
