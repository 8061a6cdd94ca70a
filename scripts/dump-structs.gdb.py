"""Runs inside gdb, offline on ELF files: turns debug information into the sizes and offsets of a list of structs.

Started by scripts/generate-layouts.ts, which passes a request file in LEAKSCOPE_REQUEST:
{"binaries": {"": "libpython3.11.so", "_asyncio": "_asyncio.so"}, "groups": [{"module", "file", "names"}], "output": path}
and reads the answer {"sizes", "offsets", "missing": [name], "ambiguous": [text]} from `output`.
"""

import json
import os

import gdb

# Members that would only repeat thousands of static objects.
SKIPPED_MEMBERS = {"strings", "static_objects", "_static_objects", "_initial_thread", "_main_interpreter"}
# Nested structs that have their own entry and occur in every object.
MAX_DEPTH = 12


def complete(gdb_type):
    gdb_type = gdb_type.strip_typedefs()
    return gdb_type if gdb_type.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) else None


def flatten(prefix, gdb_type, base_bits, offsets, depth=0):
    """Adds every field of a struct, also those of nested structs, as `prefix.field` -> bytes."""
    for field in gdb_type.fields():
        if not hasattr(field, "bitpos"):
            continue
        bits = base_bits + field.bitpos
        field_type = field.type.strip_typedefs()
        nested = field_type.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION)
        if not field.name:
            if nested and depth < MAX_DEPTH:
                flatten(prefix, field_type, bits, offsets, depth + 1)
            continue
        path = prefix + "." + field.name
        offsets[path] = bits // 8
        if field.bitsize:
            offsets[path + "#bit"] = bits % 8
            offsets[path + "#bits"] = field.bitsize
        if nested and depth < MAX_DEPTH and field.name not in SKIPPED_MEMBERS:
            flatten(path, field_type, bits, offsets, depth + 1)


def find_candidates(name):
    """[(defining file, complete struct)] of all compilation units that define `name`."""
    found = []
    for domain in (gdb.SYMBOL_VAR_DOMAIN, gdb.SYMBOL_STRUCT_DOMAIN):
        for symbol in gdb.lookup_static_symbols(name, domain):
            if symbol.addr_class != gdb.SYMBOL_LOC_TYPEDEF:
                continue
            struct = complete(symbol.type)
            if struct is not None and struct.sizeof > 0 and struct.fields():
                found.append((symbol.symtab.filename if symbol.symtab else "", struct))
    return found


def find_struct(names, file_suffix):
    """(offsets by path without the name, size) or None; a string if definitions differ."""
    for name in names:
        candidates = find_candidates(name)
        if file_suffix:
            matching = [c for c in candidates if c[0].endswith(file_suffix)]
            candidates = matching or candidates
        layouts = {}
        for file, struct in candidates:
            offsets = {}
            flatten("", struct, 0, offsets)
            layouts.setdefault((struct.sizeof, tuple(sorted(offsets.items()))), (file, offsets))
        if len(layouts) > 1:
            return "%s: %s" % (name, sorted((size, file) for (size, _), (file, _) in layouts.items()))
        for (size, _), (_, offsets) in layouts.items():
            return offsets, size
    return None


def main():
    with open(os.environ["LEAKSCOPE_REQUEST"]) as file:
        request = json.load(file)
    answer = {"sizes": {}, "offsets": {}, "missing": [], "ambiguous": []}
    pending = [(group, entry.split("=")) for group in request["groups"] for entry in group["names"].split()]
    for module, binary in request["binaries"].items():
        gdb.execute("file " + binary, to_string=True)
        rest = []
        for group, names in pending:
            # The interpreter may have any module built in; a module's library is asked for its own structs only.
            asked = module == "" or group.get("module") == module
            struct = find_struct(names, group.get("file")) if asked else None
            if struct is None:
                rest.append((group, names))
            elif isinstance(struct, str):
                answer["ambiguous"].append(struct)
            else:
                offsets, size = struct
                answer["sizes"][names[0]] = size
                for path, offset in offsets.items():
                    answer["offsets"][names[0] + path] = offset
        pending = rest
    answer["missing"] = [names[0] for _, names in pending]
    with open(request["output"], "w") as file:
        json.dump(answer, file)


main()
