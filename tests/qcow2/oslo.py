"""What oslo.utils, the inspector of OpenStack, says of images.

    oslo.py install VENV     makes a virtual environment with the pinned oslo.utils
    oslo.py files NAME...    one line a file: its format and its verdict
    oslo.py headers          the same for QCOW2 headers of 512 bytes each on standard input

A verdict is "safe", or the failed checks, joined by commas.
"""

import logging
import pathlib
import subprocess
import sys
import venv


def install(directory):
    venv.create(directory, with_pip=True)
    requirements = pathlib.Path(__file__).with_name("requirements.txt")
    python = pathlib.Path(directory, "bin", "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", requirements], check=True)


def verdict(inspector):
    from oslo_utils.imageutils import format_inspector

    try:
        inspector.safety_check()
        return "safe"
    except format_inspector.SafetyCheckFailed as failed:
        return ",".join(sorted(failed.failures))
    except format_inspector.ImageFormatError:
        return "not_qcow2"


def files(names):
    from oslo_utils.imageutils import format_inspector

    for name in names:
        inspector = format_inspector.detect_file_format(name)
        print(inspector, verdict(inspector))


def headers():
    from oslo_utils.imageutils import format_inspector

    while header := sys.stdin.buffer.read(512):
        inspector = format_inspector.QcowInspector()
        inspector.eat_chunk(header)
        print(inspector, verdict(inspector))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    match sys.argv[1:]:
        case ["install", directory]:
            install(directory)
        case ["files", *names]:
            files(names)
        case ["headers"]:
            headers()
        case _:
            sys.exit(__doc__)
