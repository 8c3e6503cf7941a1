"""What the comparisons with other programs have in common."""

import subprocess
import venv


def prepare(folder, requirements, *options, without_dependencies=(), further=()):
    """The interpreter of the virtual environment `folder`, made with these requirements where there is none yet.

    `without_dependencies` names packages whose dependencies would bring another PyTorch; `further` is what they need.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "-q", *options]
        lines = requirements.read_text().split()
        alone = [line for line in lines if line.startswith(tuple(without_dependencies))] if without_dependencies else []
        subprocess.run([*install, *(line for line in lines if line not in alone)], check=True)
        if further:
            subprocess.run([*install, *further], check=True)
        if alone:
            subprocess.run([*install, "--no-deps", *alone], check=True)
    return python


def table(header, rows):
    """Prints texts in columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
