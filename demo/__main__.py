"""Run both parts and save the plot."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

OUT = Path(__file__).parent / "out"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds of decoding (default 40)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console(highlight=False)

    with console.status("loading torch and transformers"):
        from transformers.utils import logging

        logging.disable_progress_bar()
        from . import decode, embed, plot

    rounds = options.rounds or decode.ROUNDS
    console.print(
        Panel("[bold]1  A trained model:[/] MiniLM, 22.7 M parameters, weights from safetensors")
    )
    embed.show(console)
    console.print(
        Panel("[bold]2  A random model:[/] two Llama layers, never trained; only its speed matters")
    )
    found = decode.measure(console, rounds)
    decode.show(console, found)
    plot.draw(OUT / "decode.png", found, decode.TOKENS)
    console.print("\nplot: demo/out/decode.png")


main()
