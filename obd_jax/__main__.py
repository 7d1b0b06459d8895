"""The console script `obd-jax`, also `python -m obd_jax`: one command for each entry script."""

import importlib
import sys

COMMANDS = {
    "check": "look at recorded data before anything runs on them",
    "run": "distil a data set and score students trained on the pairs",
    "population": "distil many sets in one program, over many devices",
    "evaluate": "score a distilled set again, with any student",
    "export": "write a distilled set, or its student, for another library",
    "teacher": "train a near-expert policy on offline data",
    "render": "show a distilled set's student next to the teacher",
}


def main() -> None:
    """Start the command that is named first."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print("obd-jax COMMAND [flags]; obd-jax COMMAND --help lists the flags\n")
        for command, what in COMMANDS.items():
            print(f"  {command:<12}{what}")
        return
    if name not in COMMANDS:
        print(f"error: unknown command {name!r}; known: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [sys.argv[0], *sys.argv[2:]]
    importlib.import_module(f"obd_jax.cli.{name}").start()


if __name__ == "__main__":
    main()
