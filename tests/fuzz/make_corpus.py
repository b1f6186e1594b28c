#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the seeds of the corpus anew: python3 tests/fuzz/make_corpus.py (gcc, g++, clang-19, binutils, xz).

What fuzzing found lies beside them as found_*; go_pclntab's and dotnet_metadata's are what
their tests in tests/unit make (dotnet_metadata/compiled: the C# compiler), profile_file's pprof what the agent wrote.
"""

import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"
MOST_BYTES = 4096

SOURCE = """
namespace a { struct S { template <class T> __attribute__((noinline)) static int get(T x) { return x + 1; } }; }
static inline __attribute__((always_inline)) int twice(int x) { return a::S::get(x) * 2; }
extern "C" int f(int x) { volatile int y = x; return twice(y) + 1; }
extern "C" void _start() { for (;;) f(1); }
"""


def put(target, name, data):
    data = data.encode() if isinstance(data, str) else data
    assert len(data) <= MOST_BYTES, (target, name, len(data))
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def run(*command):
    subprocess.run([str(word) for word in command], check=True)


def compile_elf(work, name, *options):
    """One function at 0x1000; without the linker's padding between the segments."""
    source = work / "f.cpp"
    source.write_text(SOURCE)
    run("g++", source, "-o", work / name, "-O1", "-nostdlib", "-ffreestanding", "-fno-ident", "-fcf-protection=none",
        "-shared" if "-fPIC" in options else "-static", "-Wl,--nmagic,-Ttext=0x1000,--build-id", *options)
    return work / name


# A loop of labels, and a function for each instruction.
LOOP = """
void _start(const unsigned char *code, long *top) {
  static const void *const targets[256] = {[0 ... 255] = &&unknown, [1] = &&add, [2] = &&pop};
  if (!code) goto unknown;
  return;
unknown: __attribute__((cold));
  __asm__ volatile("nop");
  goto *targets[*code++];
add: top[-1] += *top; --top; goto *targets[*code++];
pop: --top; goto *targets[*code++];
}
"""
TAIL_CALLS = """
#define RULES __attribute__((preserve_none)) long
typedef __attribute__((preserve_none)) long Handler(const unsigned char *code, long *top);
static Handler *const targets[256];
RULES error(const unsigned char *code, long *top) { return *code + *top; }
RULES unknown(const unsigned char *code, long *top) { [[clang::musttail]] return error(code, top + 1); }
RULES add(const unsigned char *code, long *top) { top[-1] += *top; [[clang::musttail]] return targets[*code](code + 1, top - 1); }
RULES pop(const unsigned char *code, long *top) { [[clang::musttail]] return targets[*code](code + 1, top - 1); }
static Handler *const targets[256] = {[0 ... 255] = unknown, [1] = add, [2] = pop};
RULES start(const unsigned char *code, long *top) { [[clang::musttail]] return targets[*code](code + 1, top); }
long _start(const unsigned char *code, long *top) { return start(code, top) + 1; }
"""


def make_interpreters(work):
    for name, compiler, text in (("loop", "gcc", LOOP), ("tail_calls", "clang-19", TAIL_CALLS)):
        source = work / f"{name}.c"
        source.write_text(text.replace("_start", "_PyEval_EvalFrameDefault"))
        run(compiler, source, "-o", work / name, "-O2", "-fno-pic", "-fcf-protection=none" if compiler == "gcc" else "-fno-addrsig", "-nostdlib", "-static", "-ffreestanding",
            "-fasynchronous-unwind-tables", "-Wl,--nmagic,-Ttext=0x1000,-e,0,--build-id=none", "-Wno-initializer-overrides")
        run("strip", "-K", "_PyEval_EvalFrameDefault", work / name)
        put("interpreter_code", name, (work / name).read_bytes())


def section(work, file, name):
    out = work / "section"
    run("objcopy", f"--dump-section={name}={out}", file, work / "unused")
    return out.read_bytes()


def make_elf_files(work):
    files = {
        "plain": compile_elf(work, "plain"),
        "dwarf5": compile_elf(work, "dwarf5", "-gdwarf-5"),
        "dwarf4": compile_elf(work, "dwarf4", "-gdwarf-4"),
        "dwarf3_types": compile_elf(work, "dwarf3", "-gdwarf-3", "-gstrict-dwarf"),
        "dwarf2": compile_elf(work, "dwarf2", "-gdwarf-2", "-gstrict-dwarf"),
        "split": compile_elf(work, "split", "-gdwarf-5", "-gsplit-dwarf"),
        "zlib": compile_elf(work, "zlib", "-gdwarf-5", "-gz=zlib"),
        "zlib_gnu": compile_elf(work, "zlib_gnu", "-gdwarf-4", "-gz=zlib-gnu"),
        "debug_frame": compile_elf(work, "debug_frame", "-gdwarf-4", "-fno-asynchronous-unwind-tables", "-fno-exceptions"),
        "dynamic": compile_elf(work, "dynamic", "-fPIC", "-Wl,--hash-style=both,-z,max-page-size=64,-z,norelro"),
        "eh_frame_hdr": compile_elf(work, "eh_frame_hdr", "-Wl,--eh-frame-hdr"),
    }
    compile_elf(work, "object", "-c", "-g0")
    files["object"] = work / "object"
    bare = work / "bare"
    run("strip", "-o", bare, files["plain"])
    files["stripped"] = bare
    mini = work / "mini.debug"
    run("objcopy", "-S", "--keep-symbol=f", files["plain"], mini)
    run("xz", "-k", "-f", mini)
    linked = work / "linked"
    run("objcopy", f"--add-section=.gnu_debugdata={mini}.xz", f"--add-gnu-debuglink={mini}", bare, linked)
    files["mini_debug_info"] = linked
    headless = bytearray(files["eh_frame_hdr"].read_bytes())
    headless[0x28:0x30] = bytes(8)  # e_shoff
    headless[0x3c:0x40] = bytes(4)  # e_shnum, e_shstrndx
    for name, path in files.items():
        data = path.read_bytes()
        for target in ("elf_file", "unwind_table", "module_names"):
            # What the target does not read makes no good seed for it.
            if target == "unwind_table" and (name.startswith(("zlib_gnu", "split", "dwarf2", "dwarf3"))):
                continue
            put(target, name, data)
    for target in ("elf_file", "unwind_table", "module_names"):
        put(target, "no_sections", bytes(headless))
        put(target, "header_only", files["plain"].read_bytes()[:64])
    put("cfi", "eh_frame", section(work, files["plain"], ".eh_frame"))
    put("cfi", "debug_frame", section(work, files["debug_frame"], ".debug_frame"))
    put("cfi", "signal_frame", section(work, signal_frame(work), ".eh_frame"))


def signal_frame(work):
    """Opcodes that compilers do not write every day."""
    source = work / "s.s"
    source.write_text("""
.text
.globl _start
_start:
.cfi_startproc simple
.cfi_personality 0x3, _start
.cfi_signal_frame
.cfi_def_cfa 7, 8
.cfi_offset 16, -8
nop
.cfi_remember_state
.cfi_escape 0x0f, 3, 0x77, 0x28, 0x06
.cfi_escape 0x10, 6, 2, 0x76, 0
.cfi_escape 0x16, 6, 2, 0x76, 0
nop
.cfi_restore_state
.cfi_escape 0x2f, 6, 2
.cfi_escape 0x2e, 16
.cfi_escape 0x14, 6, 2
.cfi_undefined 16
.cfi_register 6, 3
.cfi_same_value 3
.skip 70000
.cfi_def_cfa_register 6
.cfi_def_cfa_offset 16
.cfi_restore 6
.cfi_endproc
""")
    run("gcc", "-c", source, "-o", work / "s.o")
    run("ld", "-static", "-Ttext=0x1000", "--nmagic", work / "s.o", "-o", work / "s")
    return work / "s"


def record(kind, body):
    return struct.pack("<IIQ", kind, 16 + len(body), 1) + body


def make_jit_files():
    put("perf_map", "names", "1000 10 first\n1008 0x8 JS:*foo /srv/a b.js:12:3\n2000 8 py::f:/srv/a.py\r\n"
        "3000 8 void A::B(int32)[OptimizedTier1]\nzz 1 none\nffffffffffffffff ffffffffffffffff over\n5000 8 not comp")
    put("perf_map", "v8_name", "LazyCompile:~get prop node:internal/main/run:5:1")
    put("perf_map", "python_name", "py::A.f:/srv/a.py")
    magic = b"DOTNET_IPC_V1\0"
    put("diagnostics_answer", "good", magic + struct.pack("<HBBHI", 24, 0xff, 0, 0, 0))
    put("diagnostics_answer", "refusal", magic + struct.pack("<HBBHI", 24, 0xff, 0xff, 0, 0x80131385))
    put("diagnostics_answer", "environment", "A=1\0TMPDIR=/var/t\0B")
    header = struct.pack("<IIIIIIQQ", 0x4a695444, 1, 40, 62, 0, 1, 2, 0)
    lines = struct.pack("<QII", 0x1000, 3, 0) + b"/a.js\0" + struct.pack("<QII", 0x1008, 4, 0) + b"\xff\0"
    info = record(2, struct.pack("<QQ", 0x1000, 2) + lines)
    load = record(0, struct.pack("<IIQQQQ", 1, 1, 0x1000, 0x1000, 16, 0) + b"JS:*f /a.js:1:2\0" + b"\x90" * 16)
    move = record(1, struct.pack("<IIQQQQQ", 1, 1, 0x2000, 0x1000, 0x2000, 16, 0))
    put("jitdump", "all_records", header + info + load + move + record(3, b""))
    put("jitdump", "two_loads", header + load + load)
    put("jitdump", "not_complete", header + load[:-4])
    put("jitdump", "no_lines", header + record(2, struct.pack("<QQ", 0x1000, 1 << 60)))


def make_texts():
    put("process_texts", "maps", "55e0-55f0 r-xp 00001000 08:01 42 /bin/a\\040b (deleted)\n"
        "7ffc0000-7ffd0000 rw-p 00000000 00:00 0 [stack]\n1-2 ---s 0 0:0 0\n")
    put("process_texts", "stat", "1 (a) b) S 2 " + " ".join(str(i) for i in range(5, 53)) + "\n")
    put("process_texts", "schedstat", "123456 7890 12\n")
    put("process_texts", "syscall", "232 0x4 0x7f 0x3 0xffffffff 0x0 0x0 0x7ffc8 0x7f12\n")
    put("process_texts", "running", "running\n")
    names = ["_ZNSt6vectorIiSaIiEE9push_backERKi", "_ZN1aL1fEiPKcz.isra.0.cold", "_ZZN1f1gEvENKUlT_E_clIiEEDaS0_@plt",
             "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE.llvm.123", "_RNvCs15kBYyAo9fc_7mycrate7example",
             "_RINvNtC3std3mem8align_ofNtNtC3std3foo3BarE", "std::map<int, a<b>>::operator<<(x) [clone .cold]",
             "<T as core::fmt::Debug>::fmt::{{closure}}", "(anonymous namespace)::f<&A::operator()>({lambda(int)#1})"]
    for number, name in enumerate(names):
        put("demangle", f"name_{number}", name)
    # co_linetable: one entry of each form (Objects/locations.md), and what is left unfinished.
    put("python_lines", "forms", bytes([0x80, 0x10, 0xd0, 1, 2, 0xd9, 3, 4, 0xe8, 5, 0xf3, 2, 1, 0, 0xf8, 0x80, 0x13]))
    put("python_lines", "long_form", bytes([0xf1, 0xc3, 0xff, 0xff, 0x3f, 1, 2]))
    put("python_lines", "no_end", bytes([0xf1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))


def make_dotnet_lines():
    """Bounds of a method as .NET 9 and 10 write them, a portable PDB of one method, and what they lie in."""
    put("dotnet_lines", "nibbles", b"\x01" + bytes.fromhex("003a2c0910b2339296221a1aa2c2201a7c92d225000209b043706b99"))
    put("dotnet_lines", "packed", b"\x02" + bytes.fromhex("00792c095482c03de81463a4048da7aa150009b043703b9944"))
    blobs = b"\0" + b"\3src" + b"\4A.cs" + b"\4/\0\1\5" + bytes([13, 0, 0, 0, 7, 10, 5, 4, 0, 0, 2, 0, 3, 6])
    tables = struct.pack("<IBBBBQQII", 0, 2, 0, 0, 1, 3 << 48, 0, 1, 1) + struct.pack("<HHHH", 10, 0, 0, 0) + struct.pack("<HH", 1, 15)
    streams = [(b"#Pdb\0\0\0\0", bytes(range(32))), (b"#~\0\0", tables), (b"#Blob\0\0\0", blobs)]
    head = struct.pack("<4sHHII", b"BSJB", 1, 1, 0, 4) + b"v1\0\0" + struct.pack("<HH", 0, len(streams))
    offset = len(head) + sum(8 + len(name) for name, _ in streams)
    for name, data in streams:
        head += struct.pack("<II", offset, len(data)) + name
        offset += len(data)
    pdb = head + b"".join(data for _, data in streams)
    put("dotnet_lines", "pdb", b"\x03" + pdb)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    put("dotnet_lines", "embedded", b"\x04" + struct.pack("<4sI", b"MPDB", len(pdb)) + deflate.compress(pdb) + deflate.flush())
    # A ReadyToRun header, and a tree of the functions 0, 1 (the same) and 5 of six.
    bounds = bytes.fromhex("792c095482c03de81463a4048da7aa150009b043703b9944")
    tree = bytes.fromhex("3001 02ee 02d6 00") + bounds + b"\x30" + b"\x28\x00" + bounds
    sections = struct.pack("<IIIIII", 102, 0x38, 12, 105, 0x40, len(tree))
    image = struct.pack("<4sHHII", b"RTR\0", 16, 0, 0x4A, 2) + sections
    put("dotnet_lines", "image", b"\x05" + image.ljust(0x40, b"\0") + tree)
    # A module's file: a section with a CLI header and a debug directory, which tells of a PDB's file and of an embedded one.
    module = bytearray(0x500)
    for place, form, *values in (
        (0, "2s", b"MZ"), (0x3C, "I", 0x80), (0x80, "4s", b"PE\0\0"), (0x86, "H", 1), (0x94, "HHH", 240, 0, 0x20B),
        (0x138, "II", 0x2100, 56), (0x178, "II", 0x2000, 72), (0x190, "IIII", 0x1000, 0x2000, 0x300, 0x200),
        (0x200, "IIII", 72, 2, 0x2080, 0x40), (0x300, "IIIIIII", 0, 7, 0, 2, 32, 0, 0x380),
        (0x31C, "IIIIIII", 0, 0, 0, 17, 64, 0, 0x3C0), (0x380, "4s16sI8s", b"RSDS", bytes(range(16)), 1, b"/a/b.pdb"),
    ):
        struct.pack_into("<" + form, module, place, *values)
    put("dotnet_lines", "module", b"\x06" + module + struct.pack("<I", 0x280))
    put("dotnet_lines", "precompiled", b"\x07" + bytes.fromhex("3a2c0910b2339296221a1aa2c2201a7c92d225000209b043706b99"))


def make_dotnet_frames():
    """A runtime's structures for one method at 128, jitted or precompiled (spies/dotnet/layout.h)."""
    memory = bytearray(2048)
    for level, table in enumerate((0x40, 0x100, 0x108, 0x110, 0x118)):
        struct.pack_into("<Q", memory, table, 0x100 + level * 8)
    struct.pack_into("<QQQQ", memory, 0x120, 0, 0, 0x10000, 0x140)
    struct.pack_into("<QQIIQQQ", memory, 0x140, 0, 0x10000, 2, 0, 0, 0x340, 0x180)
    struct.pack_into("<QQQQQQ", memory, 0x180, 0, 0, 0, 0x1000, 0, 0x200)
    struct.pack_into("<I", memory, 0x200, 1 << 12)  # the method begins 4 * 32 bytes behind
    struct.pack_into("<Q", memory, 120, 0x240)
    struct.pack_into("<QQQQIIII", memory, 0x240, 0, 0, 0, 0x2a0, 1, 128, 200, 0x2e0)
    struct.pack_into("<HBBHH", memory, 0x2a0, 1, 0, 0, 0, 0)
    struct.pack_into("<QQBBH", memory, 0x288, 0x300, 0, 0, 0, 0)
    memory[0x2e0:0x2ea] = bytes([1, 6, 3, 0, 6, 0x22, 2, 0x30, 1, 0x50])
    struct.pack_into("<IIIHHQQQQQ", memory, 0x300, 0, 0, 1 << 8, 0, 0, 0, 0x340, 0, 0, 0)
    struct.pack_into("<Q", memory, 0x340 + 0xC0, 0x7F8)
    struct.pack_into("<Q", memory, 0x340 + 0x108, 0x7F8)
    metadata = (CORPUS / "dotnet_metadata" / "needed_tables").read_bytes()
    memory[0x4C0 : 0x4C0 + len(metadata)] = metadata
    put("dotnet_frames", "jitted", bytes(memory))
    struct.pack_into("<I", memory, 0x150, 0)
    put("dotnet_frames", "precompiled", bytes(memory))
    # As .NET 6 and 7 have it: a list, and a generic type of another module's making.
    struct.pack_into("<Q", memory, 0x40, 0x100)
    struct.pack_into("<QQQQQIIQ", memory, 0x100, 0, 0x10000, 0, 0x140, 0, 2, 0, 0x180)
    struct.pack_into("<QQQQQIIQ", memory, 0x140, 0x10000, 0x20000, 0, 0, 0, 4, 0, 0x340)
    struct.pack_into("<IIIHHQQQQQ", memory, 0x300, 0x10, 0, 1 << 16 | 0x10, 0, 0, 0, 0, 0, 0x301, 0x340)
    struct.pack_into("<Q", memory, 0x340 + 8, 0x7F8)
    struct.pack_into("<Q", memory, 0x340 + 0x100, 0x7F8)
    put("dotnet_frames", "listed", bytes(memory))


def make_python_recordings():
    """Changes at random, some to what a pointer or a length may be."""
    choose = random.Random(20251129)
    values = [0, 1, 8, 0xFFFF, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]
    for recording in range(16):
        data = bytes([recording])
        for _ in range(10 * recording):
            value = choose.choice(values) if choose.random() < 0.5 else choose.getrandbits(48) & ~7
            data += struct.pack("<BHQ", choose.randrange(80), 8 * choose.randrange(512), value)
        put("python_recording", f"changes_{10 * recording}", data)


def make_dotnet_recordings():
    """The same, of pages, stacks and registers."""
    choose = random.Random(20251130)
    values = [0, 1, 8, 0xFFFF, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]
    for recording in range(12):
        data = bytes([recording % 6, choose.randrange(256)])
        for _ in range(20 * recording):
            value = choose.choice(values) if choose.random() < 0.5 else choose.getrandbits(48) & ~7
            data += struct.pack("<HHQ", choose.getrandbits(16), 8 * choose.randrange(512), value)
        put("dotnet_recording", f"changes_{20 * recording}", data)


def main():
    for tool in ("g++", "objcopy", "xz", "ld"):
        assert shutil.which(tool), tool
    with tempfile.TemporaryDirectory() as work:
        make_elf_files(pathlib.Path(work))
        make_interpreters(pathlib.Path(work))
    make_jit_files()
    make_texts()
    make_dotnet_frames()
    make_dotnet_lines()
    make_python_recordings()
    make_dotnet_recordings()


if __name__ == "__main__":
    main()
