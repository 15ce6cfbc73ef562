"""The options of ``edgewise train``, each with the reason for its default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgewise.spec.opening import MOST_THREADS

DATA, NETWORK, TRAINING, VARIETY, MACHINE = "Data", "Network", "Training", "Varying the photos", "This machine"
"""Panels of the help."""

Data = Annotated[
    Path | None,
    typer.Argument(
        help="One folder of photos per class, train/validation/test folders of such, or a CSV file with the "
        "columns path, label and perhaps split.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="The run folder to make.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out after an interruption.")]
Config = Annotated[
    Path | None, typer.Option(help="Repeat a run by its config.yaml, into another --out.", show_default=False)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same split, order and variations.", min=0)]
ClassNames = Annotated[
    Path | None,
    typer.Option(
        help="Text file with one class a line, which fixes their order.",
        show_default="sorted",
        rich_help_panel=DATA,
    ),
]
Fraction = Annotated[
    float, typer.Option(help="Share of the training photos to use, of each class.", rich_help_panel=DATA)
]
ValSplit = Annotated[
    float, typer.Option(help="Share for validation where the data has no such split.", rich_help_panel=DATA)
]
TestSplit = Annotated[
    float, typer.Option(help="Share for the test where the data has no splits.", rich_help_panel=DATA)
]
ClassWeights = Annotated[
    str,
    typer.Option(
        help="'balanced': a class counts the same however few its photos. 'none': photos count the same, because "
        "new photos come as often as these.",
        rich_help_panel=DATA,
    ),
]
Backbone = Annotated[str, typer.Option(help="The network; see --list-backbones.", rich_help_panel=NETWORK)]
ShowBackbones = Annotated[
    bool,
    typer.Option("--list-backbones", help="Print the backbones and what each costs.", rich_help_panel=NETWORK),
]
Weights = Annotated[
    str,
    typer.Option(
        help="First weights: 'imagenet', 'none' (from scratch), a file in the official Keras layout, or another run.",
        rich_help_panel=NETWORK,
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        help="Side of the input in pixels; smaller is faster.",
        show_default="the backbone's",
        min=32,
        max=1024,
        rich_help_panel=NETWORK,
    ),
]
Blocks = Annotated[
    str | None,
    typer.Option(
        help="Residual blocks kept per stage; fewer is faster.", show_default="10,20,10", rich_help_panel=NETWORK
    ),
]
Dropout = Annotated[
    float,
    typer.Option(help="Share of features dropped before the classifier.", min=0, max=0.9, rich_help_panel=NETWORK),
]
Epochs = Annotated[int, typer.Option(help="Epochs of the whole network.", min=1, rich_help_panel=TRAINING)]
HeadEpochs = Annotated[
    int, typer.Option(help="Epochs of the head before it, with given weights.", min=0, rich_help_panel=TRAINING)
]
HeadPasses = Annotated[
    int,
    typer.Option(
        help="Times the photos pass the frozen backbone for the head; from the second on varied. Once is enough "
        "where the whole network is trained after it.",
        min=1,
        rich_help_panel=TRAINING,
    ),
]
BatchSize = Annotated[int, typer.Option(help="Photos per step.", min=2, rich_help_panel=TRAINING)]
Optimizer = Annotated[str, typer.Option(help="adamw, which needs no tuning, or sgd.", rich_help_panel=TRAINING)]
LearningRate = Annotated[
    str | None,
    typer.Option(
        "--learning-rate",
        "--lr",
        help="Peak learning rate, or 'auto' for a range test of 100 steps.",
        show_default="adamw: 0.001 from scratch, else 0.0005; sgd: 0.05 and 0.005",
        rich_help_panel=TRAINING,
    ),
]
WeightDecay = Annotated[float, typer.Option(help="Of kernels, apart from the gradient.", rich_help_panel=TRAINING)]
LayerDecay = Annotated[
    float,
    typer.Option(
        help="Learning rate of a block as a share of the next one's; below 1, early layers change less.",
        rich_help_panel=TRAINING,
    ),
]
Unfreeze = Annotated[
    str | None,
    typer.Option(
        help="First block that learns with given weights, such as block17_11.",
        show_default="all learn",
        rich_help_panel=TRAINING,
    ),
]
LabelSmoothing = Annotated[
    float, typer.Option(help="Share of the target that goes to all classes.", rich_help_panel=TRAINING)
]
Ema = Annotated[
    float,
    typer.Option(help="Decay of averaged weights, such as 0.999; 0: none.", rich_help_panel=TRAINING),
]
ClipNorm = Annotated[
    float, typer.Option(help="Largest norm of all gradients together; 0: any.", rich_help_panel=TRAINING)
]
Patience = Annotated[
    int, typer.Option(help="Stop after so many epochs without a better validation.", min=1, rich_help_panel=TRAINING)
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic", help="Bit-equal results each time on this machine; slower.", rich_help_panel=TRAINING
    ),
]
Flip = Annotated[
    bool,
    typer.Option(help="Mirror photos at random; not for text or arrows.", rich_help_panel=VARIETY),
]
Zoom = Annotated[float, typer.Option(help="Largest share of a side that is cropped away.", rich_help_panel=VARIETY)]
Light = Annotated[float, typer.Option(help="Largest change of brightness and contrast.", rich_help_panel=VARIETY)]
Operations = Annotated[
    int, typer.Option(help="Further random changes of each photo (RandAugment).", min=0, rich_help_panel=VARIETY)
]
Magnitude = Annotated[float, typer.Option(help="How strong these are at most, 0 to 1.", rich_help_panel=VARIETY)]
Mixup = Annotated[
    float, typer.Option(help="Alpha of mixing two photos, such as 0.2; 0: none.", rich_help_panel=VARIETY)
]
Cutmix = Annotated[
    float, typer.Option(help="Alpha of pasting part of a photo into another; 0: none.", rich_help_panel=VARIETY)
]
Distribute = Annotated[
    str,
    typer.Option(
        help="'mirrored': all GPUs of this machine; 'multiworker': the machines that TF_CONFIG names; 'none': one "
        "device; 'auto': all there is.",
        rich_help_panel=MACHINE,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of the layers in training: float32, bfloat16 or float16; 'auto': the 16-bit kind that a GPU, or a CPU "
        "with AMX, computes faster, else float32.",
        rich_help_panel=TRAINING,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(help="CPU threads.", min=1, max=MOST_THREADS, show_default="all cores", rich_help_panel=MACHINE),
]
CacheLimit = Annotated[
    float,
    typer.Option(
        help="Gigabytes of disk for prepared photos, kept for later runs; 0: none.",
        min=0,
        rich_help_panel=MACHINE,
    ),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(help="Minutes between checkpoints within an epoch.", min=0, rich_help_panel=MACHINE),
]
Explain = Annotated[
    int,
    typer.Option(help="Show by Grad-CAM what spoke for so many right and wrong answers.", min=0),
]
