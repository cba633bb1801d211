"""Writes what gdb makes of a stopped process: frames of every thread, registers, and the scalar variables of own frames.

Run inside gdb. What to do stands in the environment: ORACLE_TO (file to write), ORACLE_THREAD (the failing thread),
ORACLE_FRAMES (frames per thread at most), ORACLE_VARIABLES (frames with variables at most), ORACLE_SOURCES (own files).
"""

import json
import os

import gdb

REGISTERS = ["rsp", "rbp", "rbx", "r12", "r13", "r14", "r15"]
FAILING = int(os.environ["ORACLE_THREAD"])
FRAMES = int(os.environ["ORACLE_FRAMES"])
WITH_VARIABLES = int(os.environ["ORACLE_VARIABLES"])
SOURCES = os.environ["ORACLE_SOURCES"].split(",")
KINDS = {gdb.NORMAL_FRAME: "normal", gdb.TAILCALL_FRAME: "tail", gdb.SIGTRAMP_FRAME: "signal", gdb.INLINE_FRAME: "inline"}


def registers(frame, names):
    found = {}
    for name in names:
        try:
            value = frame.read_register(name)
            found[name] = None if value.is_optimized_out else int(value.cast(WORD))
        except gdb.error:
            found[name] = None
    return found


def integer(value, kind):
    if kind.sizeof <= 8:
        return int(value)
    # gdb's own conversion stops at 8 bytes.
    raw = gdb.selected_inferior().read_memory(int(value.address), kind.sizeof).tobytes()
    return int.from_bytes(raw, "little", signed=kind.is_signed)


def scalar(value):
    """Kind, value and further text of a value; the kind is None where it is no scalar."""
    kind = value.type.strip_typedefs()
    code = kind.code
    if code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        return "pointer", str(int(value.referenced_value().address)), None
    if code == gdb.TYPE_CODE_PTR:
        if "synthetic pointer" in str(value):
            raise gdb.error("a pointer to what has no place in memory")
        text = None
        target = kind.target().strip_typedefs()
        if target.code == gdb.TYPE_CODE_INT and target.sizeof == 1 and int(value) != 0:
            try:
                text = value.string(encoding="latin-1", length=-1)
            except (gdb.error, UnicodeError):
                pass
        return "pointer", str(int(value) % 2**64), text
    if code == gdb.TYPE_CODE_ENUM:
        return "enum", str(int(value)), str(value).split("::")[-1]
    if code == gdb.TYPE_CODE_FLT:
        return "float", repr(float(value)), None
    if code == gdb.TYPE_CODE_BOOL:
        return "bool", str(int(value)), None
    if code == gdb.TYPE_CODE_CHAR and kind.sizeof > 1:
        return "char", str(int(value)), None
    if code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR):
        return "int", str(integer(value, kind)), None
    return None, None, None


SCALARS = (
    gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF, gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_FLT,
    gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_INT,
)


def variable(symbol, frame):
    kind = symbol.type.strip_typedefs()
    if kind.code not in SCALARS or kind.sizeof == 0:
        return None
    found = {"name": symbol.name, "line": symbol.line, "size": kind.sizeof, "kind": "", "value": None, "text": None}
    try:
        value = symbol.value(frame)
        if value.is_optimized_out:
            raise gdb.error("optimized out")
        found["kind"], found["value"], found["text"] = scalar(value)
    except (gdb.error, TypeError, ValueError, OverflowError) as error:
        found["text"] = str(error)
    return found


def variables(frame):
    """Outermost block first, so that a name which hides another one comes after it."""
    blocks = []
    try:
        block = frame.block()
    except RuntimeError:
        return []
    while block is not None and not block.is_static and not block.is_global:
        blocks.append(block)
        if block.function is not None:
            break
        block = block.superblock
    found = []
    for block in reversed(blocks):
        for symbol in block:
            if symbol.is_argument or symbol.is_variable:
                found.append(variable(symbol, frame))
    return [one for one in found if one is not None]


def frames(thread):
    found = []
    physical = 0
    frame = gdb.newest_frame()
    failing = thread.ptid[1] == FAILING
    while frame is not None:
        sal = frame.find_sal()
        kind = KINDS.get(frame.type(), "other")
        if kind not in ("inline", "tail"):
            physical += 1
        file = sal.symtab.filename if sal.symtab else ""
        own = failing and len(found) < WITH_VARIABLES and os.path.basename(file) in SOURCES
        found.append({
            "kind": kind,
            "pc": frame.pc(),
            "function": frame.name(),
            "file": file,
            "line": sal.line,
            "registers": registers(frame, REGISTERS if failing else REGISTERS[:1]),
            "variables": variables(frame) if own else None,
        })
        if physical >= FRAMES and kind not in ("inline", "tail"):
            break
        try:
            frame = frame.older()
        except gdb.error:
            break
    return found


gdb.execute("set backtrace past-main on")
gdb.execute("set backtrace past-entry on")
gdb.execute("set backtrace limit unlimited")
gdb.execute("set print frame-arguments none")
# Rust knows no `unsigned long`: where no unit in C is described, its name would not be found.
WORD = gdb.selected_inferior().architecture().integer_type(64, False)
threads = []
for thread in gdb.selected_inferior().threads():
    thread.switch()
    threads.append({"id": thread.ptid[1], "frames": frames(thread)})
with open(os.environ["ORACLE_TO"], "w") as file:
    json.dump({"threads": threads}, file)
