"""The command line: `aerofn`. What each command does is in modules that only that command imports."""

import contextlib
import sys


def main() -> None:
    """Run the command of `sys.argv`; exits 0 (done), 1 (failed) or 2 (usage or settings)."""
    from aerofn.cli.commands import app  # noqa: PLC0415  a broken installation still says what is wrong
    from aerofn.cli.output import exit_code, print_error  # noqa: PLC0415
    from aerofn.errors import AeroFnError  # noqa: PLC0415

    try:
        app(prog_name="aerofn")
    except AeroFnError as error:
        print_error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        sys.exit(1)
