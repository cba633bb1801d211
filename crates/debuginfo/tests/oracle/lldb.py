"""Writes what lldb makes of a stopped process, in the shape that `gdb.py` writes and from the same environment."""

import json
import os

import lldb

FAILING = int(os.environ["ORACLE_THREAD"])
FRAMES = int(os.environ["ORACLE_FRAMES"])
WITH_VARIABLES = int(os.environ["ORACLE_VARIABLES"])
SOURCES = os.environ["ORACLE_SOURCES"].split(",")
FLOATS = (lldb.eBasicTypeFloat, lldb.eBasicTypeDouble, lldb.eBasicTypeLongDouble)
CHARS = (lldb.eBasicTypeChar16, lldb.eBasicTypeChar32)
OTHERS = (lldb.eBasicTypeVoid, lldb.eBasicTypeNullPtr)


def scalar(value, kind):
    """Kind, value and further text of a value."""
    if kind.IsPointerType() or kind.IsReferenceType():
        text = None
        summary = value.GetSummary()
        # Its escapes are of its own kind.
        if summary and summary.startswith('"') and "\\" not in summary:
            text = summary.strip('"')
        return "pointer", str(value.GetValueAsUnsigned()), text
    if kind.GetTypeClass() == lldb.eTypeClassEnumeration:
        return "enum", str(value.GetValueAsSigned()), value.GetValue()
    basic = kind.GetBasicType()
    if basic in FLOATS:
        error = lldb.SBError()
        data = value.GetData()
        if kind.GetByteSize() == 4:
            return "float", repr(data.GetFloat(error, 0)), None
        if kind.GetByteSize() == 8:
            return "float", repr(data.GetDouble(error, 0)), None
        return "float", repr(float(value.GetValue())), None
    if basic == lldb.eBasicTypeBool:
        return "bool", str(value.GetValueAsUnsigned()), None
    if basic in CHARS:
        return "char", str(value.GetValueAsUnsigned()), None
    error = lldb.SBError()
    raw = bytes(value.GetData().ReadRawData(error, 0, kind.GetByteSize()))
    signed = bool(kind.GetTypeFlags() & lldb.eTypeIsSigned)
    return "int", str(int.from_bytes(raw, "little", signed=signed)), None


def variable(value):
    kind = value.GetType().GetCanonicalType()
    is_pointer = kind.IsPointerType() or kind.IsReferenceType()
    classes = (lldb.eTypeClassBuiltin, lldb.eTypeClassEnumeration)
    if not is_pointer and kind.GetTypeClass() not in classes:
        return None
    if kind.GetByteSize() == 0 or (not is_pointer and kind.GetBasicType() in OTHERS):
        return None
    line = value.GetDeclaration().GetLine()
    found = {"name": value.GetName() or "", "line": line, "size": kind.GetByteSize(), "kind": "", "value": None, "text": None}
    if value.GetError().Fail() or value.GetValue() is None:
        found["text"] = value.GetError().GetCString() or "no value"
        return found
    found["kind"], found["value"], found["text"] = scalar(value, kind)
    return found


def variables(frame):
    found = []
    for arguments, locals_ in ((True, False), (False, True)):
        values = frame.GetVariables(arguments, locals_, False, True, lldb.eNoDynamicValues)
        found.extend(variable(values.GetValueAtIndex(at)) for at in range(values.GetSize()))
    return [one for one in found if one is not None]


def frames(thread):
    found = []
    physical = 0
    failing = thread.GetThreadID() == FAILING
    at = 0
    while True:
        frame = thread.GetFrameAtIndex(at)
        at += 1
        if not frame.IsValid() or frame.GetPC() == lldb.LLDB_INVALID_ADDRESS:
            break
        entry = frame.GetLineEntry()
        inlined = frame.IsInlined()
        if not inlined:
            physical += 1
        file = entry.GetFileSpec().GetFilename() or ""
        own = failing and len(found) < WITH_VARIABLES and file in SOURCES
        cfa = frame.GetCFA()
        found.append({
            "kind": "inline" if inlined else "normal",
            "pc": frame.GetPC(),
            "function": frame.GetFunctionName(),
            "file": file,
            "line": entry.GetLine() if entry.IsValid() else 0,
            "registers": {"cfa": None if cfa == lldb.LLDB_INVALID_ADDRESS else cfa},
            "variables": variables(frame) if own else None,
        })
        if physical >= FRAMES and not inlined:
            break
    return found


debugger = lldb.SBDebugger.Create()
debugger.SetAsync(False)
target = debugger.CreateTarget("")
error = lldb.SBError()
process = target.AttachToProcessWithID(debugger.GetListener(), int(os.environ["ORACLE_PROCESS"]), error)
if error.Fail():
    raise SystemExit(f"lldb could not attach: {error}")
threads = []
for thread in process:
    threads.append({"id": thread.GetThreadID(), "frames": frames(thread)})
with open(os.environ["ORACLE_TO"], "w") as file:
    json.dump({"threads": threads}, file)
process.Detach()
os._exit(0)
