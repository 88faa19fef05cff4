# SPDX-License-Identifier: Apache-2.0
"""What device and what tools are here."""

import os
import platform
import shutil
import subprocess


class NoDevice(Exception):
    """There is nothing to check on."""


def said_by(*command):
    """The command's output; None where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def device():
    """The first GPU: name, driver, memory, compute capability. Raises NoDevice."""
    said = said_by("nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader,nounits")
    if not said:
        raise NoDevice("nvidia-smi names no GPU here")
    name, driver, memory, capability = (part.strip() for part in said.splitlines()[0].split(","))
    try:
        memory = int(float(memory))
    except ValueError:  # "[N/A]" where the GPU and the host share theirs
        pass
    return {"name": name, "driver": driver, "memory_mib": memory, "compute_capability": capability, **state()}


def state():
    """What the first GPU runs at, and what it may: figures depend on it. Empty where that is not told."""
    fields = ("clocks.sm", "clocks.max.sm", "power.limit", "mig.mode.current")
    said = said_by("nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader")
    return dict(zip(fields, (part.strip() for part in said.splitlines()[0].split(",")))) if said else {}


def architecture(capability):
    """What CMAKE_CUDA_ARCHITECTURES is for it: 9.0 has instructions that only its own target may use."""
    number = capability.replace(".", "")
    return ("90a" if number == "90" else number) + "-real"


def beside_nvcc(name):
    """A tool of the CUDA toolkit: on the PATH, or where nvcc is."""
    nvcc = shutil.which(os.environ.get("CUDACXX", "nvcc"))
    folders = [os.path.dirname(os.path.realpath(nvcc))] if nvcc else []
    return shutil.which(name) or next((p for p in (os.path.join(f, name) for f in folders + ["/usr/local/cuda/bin"]) if os.path.exists(p)), None)


def last_line(text):
    return text.splitlines()[-1] if text else None


def first_line(text):
    return text.splitlines()[0] if text else None


def tools():
    """Versions, None where something is not there."""
    nvcc = beside_nvcc("nvcc")
    processor = None
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            processor = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), None)
    return {"system": platform.platform(), "processor": processor, "cores": os.cpu_count(), "nvcc": last_line(said_by(nvcc, "--version")) if nvcc else None,
            "c++": first_line(said_by(os.environ.get("CXX", "g++"), "--version")), "cmake": first_line(said_by("cmake", "--version")),
            "python": platform.python_version(), "pytorch": said_by("python3", "-c", "import torch; print(torch.__version__)"),
            "compute-sanitizer": last_line(said_by(beside_nvcc("compute-sanitizer") or "compute-sanitizer", "--version"))}
