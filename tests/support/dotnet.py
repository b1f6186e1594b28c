# SPDX-License-Identifier: Apache-2.0
"""The .NET SDK of this machine, and the programs of tests/programs/dotnet in every form that .NET programs are shipped in.

What was built is kept in the cache folder: a second run builds nothing and needs no network. For machines that have no
SDK, `python3 tests/support/dotnet.py FOLDER` builds all of it into a folder; there, DOTNET_APPS says where that is.
"""

import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import agent_runs

SOURCES = agent_runs.PROGRAMS / "dotnet"
CACHE = agent_runs.CACHE / "dotnet"

# The exact runtime of each major version: what comes with the SDK, or its package at the registry.
RUNTIMES = {"8": "8.0.31", "9": "9.0.20"}
# For arm64 the registry has others.
ARM64_RUNTIMES = {"9": "9.0.23"}
OF_ITS_OWN = ["-r", "linux-x64", "--self-contained", "true"]
SINGLE_FILE = [*OF_ITS_OWN, "-p:PublishSingleFile=true"]
# A single file would be composite by itself: minutes, for the whole library.
OWN_READY_TO_RUN = ["-p:PublishReadyToRun=true", "-p:PublishReadyToRunComposite=false"]
FORMS = {
    "framework_dependent": [],
    "self_contained": OF_ITS_OWN,
    "single_file": SINGLE_FILE,
    "compressed": [*SINGLE_FILE, "-p:EnableCompressionInSingleFile=true"],
    "trimmed": [*SINGLE_FILE, "-p:PublishTrimmed=true"],
    "ready_to_run": [*OF_ITS_OWN, "-p:PublishReadyToRun=true"],
    # Trimmed, so that not the whole library is compiled: that takes two minutes.
    "composite": [*OF_ITS_OWN, "-p:PublishTrimmed=true", "-p:PublishReadyToRun=true", "-p:PublishReadyToRunComposite=true"],
    "embedded": ["-p:DebugType=embedded"],
    "single_file_ready_to_run": [*SINGLE_FILE, *OWN_READY_TO_RUN],
    "compressed_embedded": [*SINGLE_FILE, *OWN_READY_TO_RUN, "-p:EnableCompressionInSingleFile=true", "-p:DebugType=embedded"],
    "native_aot": ["-r", "linux-x64", "-p:PublishAot=true"],
    "runtime_async": ["-p:RuntimeAsync=true"],
    "musl": ["-r", "linux-musl-x64", "--self-contained", "true"],
    "arm64": ["-r", "linux-arm64", "--self-contained", "true"],
}
LINES_ONLY = ("embedded", "single_file_ready_to_run", "compressed_embedded")  # forms that only Lines is built in
# Forms that are built for .NET 10 only.
NEWEST_ONLY = ("framework_dependent", "runtime_async", "native_aot", "musl", *LINES_ONLY)
MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"  # package musl
# What the runtime's build for musl takes from a C++ library that was built for it; Debian's is built for glibc, and asks for this.
MUSL_SHIM = """
#include <errno.h>
#include <stddef.h>
#include <sys/random.h>
#include <time.h>
typedef struct { unsigned vendor, type, subtype, features[1]; } CpuModel;
CpuModel __cpu_model;
unsigned __cpu_features2[8];
char __libc_single_threaded;
int __cpu_indicator_init(void) { return 0; }
int _dl_find_object(void *address, void *result) { (void)address, (void)result; return -1; }
unsigned arc4random(void) { unsigned number; while (getrandom(&number, sizeof number, 0) != sizeof number) {} return number; }
size_t __strftime_l(char *text, size_t size, const char *format, const struct tm *time, locale_t locale) {
  return strftime_l(text, size, format, time, locale);
}
int __cxa_thread_atexit_impl(void (*call)(void *), void *object, void *library) {
  (void)call, (void)object, (void)library;
  return 0;
}
"""

# What a restore says that finds no package: the registry does not have it, or there is none.
NOT_RESTORED = re.compile(r"error (NU1101|NU1102|NU1103|NU1301|NU1302|NETSDK1045|NETSDK1127|NETSDK1083)[^\n]*")


def find():
    """The dotnet command; skips the test, with the reason, where there is none with an SDK of .NET 10."""
    path = os.environ.get("DOTNET_BINARY") or shutil.which("dotnet")
    if not path or not os.access(path, os.X_OK):
        raise unittest.SkipTest("no dotnet in PATH (nor in DOTNET_BINARY)")
    version = sdk_version(path)
    if not version or int(version.split(".")[0]) < 10:
        raise unittest.SkipTest(f"{path}: SDK {version or 'none'}, and 10 is needed")
    return path


def sdk_version(path):
    run = subprocess.run([path, "--version"], capture_output=True, text=True, env=environment(), cwd=tempfile.gettempdir())
    return run.stdout.strip() if run.returncode == 0 else None


def environment():
    """Nothing stays alive after a build, nothing is sent home."""
    return dict(os.environ, DOTNET_CLI_TELEMETRY_OPTOUT="1", DOTNET_NOLOGO="1", DOTNET_SKIP_FIRST_TIME_EXPERIENCE="1",
                DOTNET_GENERATE_ASPNET_CERTIFICATE="false", DOTNET_CLI_USE_MSBUILD_SERVER="0", MSBUILDDISABLENODEREUSE="1")


def trace_tool():
    """The command of dotnet-trace, kept in the cache folder; skips, with the reason, where it cannot be installed."""
    dotnet = find()
    tool = CACHE / "tools" / "dotnet-trace"
    if not tool.exists():
        command = [dotnet, "tool", "install", "dotnet-trace", "--version", "10.0.*", "--tool-path", str(tool.parent)]
        installed = subprocess.run(command, env=environment(), cwd=tempfile.gettempdir(), capture_output=True, text=True)
        if installed.returncode != 0:
            said = (installed.stderr + installed.stdout).strip().splitlines()
            raise unittest.SkipTest(f"dotnet-trace cannot be installed: {said[0] if said else installed.returncode}")
    return str(tool)


def _sources(program):
    folder = SOURCES / program.lower() if program in ("Oracle", "Standing") else SOURCES
    sources = [path for path in folder.iterdir() if path.suffix in (".cs", ".csproj")]
    if program == "Standing":
        sources += [path for path in SOURCES.glob("*.cs") if path.name.startswith(("Chain", "Clock.", "Frames."))]
    return sorted(sources)


def _runtime(form, version):
    return (ARM64_RUNTIMES if form == "arm64" else RUNTIMES).get(version)


def _key(program, form, version, sdk):
    digest = hashlib.sha256(repr((program, FORMS[form], version, _runtime(form, version), sdk)).encode())
    for path in _sources(program):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{program.lower()}-{form}-{version}-{digest.hexdigest()[:16]}"


def build(program, form, version="10"):
    """The command that runs `program` (Shares, Chains, Lines, Threads, Loads, Service, Oracle, Standing), built in that form for that major version.

    Skips the test, with the reason, where the registry does not have what it takes.
    """
    if apps := os.environ.get("DOTNET_APPS"):
        folder = pathlib.Path(apps) / f"{program.lower()}-{form}-{version}"
        if not folder.is_dir():
            raise unittest.SkipTest(f"no {folder}")
        return _command(os.environ.get("DOTNET_BINARY") or shutil.which("dotnet"), folder, program, form)
    dotnet = find()
    folder = CACHE / _key(program, form, version, sdk_version(dotnet))
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:  # one build at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _build(dotnet, program, form, version, folder)
    return _command(dotnet, folder, program, form)


def _command(dotnet, folder, program, form):
    if form == "musl":
        musl = folder / "musl"
        return ["env", f"LD_PRELOAD={musl}/shim.so", f"LD_LIBRARY_PATH={musl}", str(folder / program.lower())]
    if form not in ("framework_dependent", "runtime_async", "embedded"):
        return [str(folder / program.lower())]
    if not dotnet:
        raise unittest.SkipTest(f"no dotnet in PATH (nor in DOTNET_BINARY) to run {folder}")
    start = ["env", "DOTNET_RuntimeAsync=1"] if form == "runtime_async" else []
    return [*start, dotnet, str(folder / f"{program.lower()}.dll")]


def _build(dotnet, program, form, version, folder):
    flags = [f"-p:Program={program}", f"-p:Framework=net{version}.0", *FORMS[form]]
    if runtime := _runtime(form, version):
        flags.append(f"-p:RuntimeFrameworkVersion={runtime}")
    with tempfile.TemporaryDirectory(prefix="build-", dir=CACHE) as place:
        place = pathlib.Path(place)
        # A stop for what lies above: the build looks for these upwards.
        for name in ("Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props"):
            (place / name).write_text("<Project />\n")
        for path in _sources(program):
            shutil.copy(path, place)
        project = next(place.glob("*.csproj")).name
        command = [dotnet, "publish", project, "-c", "Release", "-o", "app", "--nologo", "-v", "q", "-m:1",
                   "--disable-build-servers", "-nodeReuse:false", "-p:UseSharedCompilation=false", *flags]
        built = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True)
        said = built.stdout + built.stderr
        if built.returncode != 0:
            if found := NOT_RESTORED.search(said):
                raise unittest.SkipTest(f"{form} for .NET {version}: {found[0].strip()}")
            raise AssertionError(f"{' '.join(command)}\n{said}")
        if form == "musl":
            _add_musl(place / "app" / "musl")
        os.rename(place / "app", folder)


def _add_musl(folder):
    """The libraries that a runtime built for musl needs and a Debian with its package musl does not have."""
    if not os.path.exists(MUSL_LOADER) or not shutil.which("musl-gcc"):
        raise unittest.SkipTest(f"no {MUSL_LOADER} or no musl-gcc (packages musl and musl-tools)")
    folder.mkdir()
    for name in ("libc.musl-x86_64.so.1", "ld-linux-x86-64.so.2"):
        (folder / name).symlink_to(MUSL_LOADER)
    for name in ("libstdc++.so.6", "libgcc_s.so.1"):
        shutil.copy(subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip(), folder)
    (folder / "shim.c").write_text(MUSL_SHIM)
    subprocess.run(["musl-gcc", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", "shim.so", "shim.c"], cwd=folder, check=True)


def _build_all(folder):
    for version in ("10", *RUNTIMES):
        for form in FORMS:
            if form in NEWEST_ONLY and version != "10":
                continue
            programs = [] if form in LINES_ONLY else ["Shares", "Chains", "Threads", "Loads"]
            if form in ("framework_dependent", "self_contained", "ready_to_run", "composite", *LINES_ONLY):
                programs.append("Lines")
            if (form, version) == ("framework_dependent", "10"):
                programs += ["Service", "Oracle"]
            if form == "arm64":
                programs = ["Shares"]
            for program in programs:
                try:
                    built = pathlib.Path(build(program, form, version)[-1]).parent
                    shutil.copytree(built, folder / f"{program.lower()}-{form}-{version}", dirs_exist_ok=True)
                except unittest.SkipTest as reason:
                    print(f"SKIP: {reason}")


if __name__ == "__main__":
    _build_all(pathlib.Path(sys.argv[1]))
