// What a C symbol is called in Python: Cython's functions (`__pyx_pf_6cyleak_3Foo___cinit__` is `cyleak.Foo.__cinit__`)
// and modules' init functions (`PyInit_cleak`). Source: Cython's Naming.py and its name mangling (0.29, 3.x).

const METHOD = /^__pyx_(?:pf|pw|f|fuse_\w+?_pw|specialmethod|getprop|setprop)_(.+)$/;
const TYPE_SLOT = /^__pyx_tp_(new|dealloc|traverse|clear)_(.+)$/;
const MODULE = /^(?:PyInit_|__pyx_pymod_(?:exec|create)_)(.+)$/;

/** `cyleak.Foo.__cinit__`; undefined if the symbol is not known to come from Python code or a module's beginning. */
export function findPythonName(symbol: string): string | undefined {
  // GCC's clones: `.part.0`, `.constprop.1`, `.isra.0`, `.cold`.
  const name = symbol.replace(/\.(?:part|constprop|isra|cold|lto_priv)(?:\.\d+)*.*$/, '');
  const slot = TYPE_SLOT.exec(name);
  if (slot !== null) return joinMangled(slot[2]);
  const method = METHOD.exec(name);
  if (method !== null) return joinMangled(method[1]);
  const module = MODULE.exec(name)?.[1];
  return module === undefined ? undefined : `import ${module}`;
}

/** `6cyleak_3Foo_2grow`: names with their lengths, then the function's, behind its number within the class. */
function joinMangled(mangled: string): string | undefined {
  const names: string[] = [];
  let rest = mangled;
  // `5__str__` is the fifth function of its class, and no class that is called `__str`.
  while (!/^\d*__\w+__$/.test(rest)) {
    const length = Number(/^\d+/.exec(rest)?.[0] ?? '0');
    const start = `${length}`.length;
    const name = rest.slice(start, start + length);
    if (length === 0 || name.length < length || rest[start + length] !== '_') break;
    names.push(name);
    rest = rest.slice(start + length + 1);
  }
  if (names.length === 0) return undefined;
  names.push(rest.replace(/^\d+/, ''));
  return names.join('.');
}

/** `pkg` of `pkg.cpython-311-x86_64-linux-gnu.so`, `pkg.abi3.so` or `pkg.so`; undefined for a library that is no module. */
export function findModuleName(library: string): string | undefined {
  const name = /^(\w+)(?:\.(?:cpython-\w[\w-]*|abi3|pypy[\w-]*))?\.so$/.exec(library)?.[1];
  return name === undefined || /^lib/.test(name) ? undefined : name;
}
