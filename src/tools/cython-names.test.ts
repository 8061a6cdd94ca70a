import { expect, test } from 'vitest';
import { findModuleName, findPythonName } from './cython-names.ts';

test.each([
  ['__pyx_pf_6cyleak_3Foo___cinit__', 'cyleak.Foo.__cinit__'],
  ['__pyx_pw_6cyleak_3Foo_1__cinit__', 'cyleak.Foo.__cinit__'],
  ['__pyx_pw_6cyleak_3Foo_5__str__', 'cyleak.Foo.__str__'],
  ['__pyx_pf_6cyleak_3Foo_2grow.isra.0', 'cyleak.Foo.grow'],
  ['__pyx_f_3pkg_6module_helper', 'pkg.module.helper'],
  ['__pyx_tp_new_6cyleak_Foo', 'cyleak.Foo'],
  ['__pyx_pf_6cyleak_lose_all', 'cyleak.lose_all'],
  ['__pyx_pymod_exec_cyleak', 'import cyleak'],
  ['PyInit_cleak', 'import cleak'],
  ['__pyx_pf_99x', undefined],
  ['__Pyx_PyObject_Call', undefined],
  ['malloc', undefined],
])('%s is %s in Python', (symbol, name) => {
  expect(findPythonName(symbol)).toBe(name);
});

test.each([
  ['fast.cpython-311-x86_64-linux-gnu.so', 'fast'],
  ['_umath.abi3.so', '_umath'],
  ['cleak.so', 'cleak'],
  ['libz.so.1.2', undefined],
  ['libfoo.so', undefined],
])('the library %s is the module %s', (library, name) => {
  expect(findModuleName(library)).toBe(name);
});
