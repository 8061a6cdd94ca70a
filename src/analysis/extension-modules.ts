// The extension modules of a program that are not Python's own, with the versions that they tell: where to look when C
// memory is lost. Turns the mapped files and `sys.modules` of a graph into names.

import { type HeapGraph, NONE, RootKind } from '../graph/heap-graph.ts';
import type { NativeFacts } from '../graph/native-heap.ts';
import { findModuleEntry } from './module-origin.ts';

export interface ExtensionModule {
  /** The package, or the module where it stands alone. */
  name: string;
  /** `__version__` as it is; undefined if it has none. */
  version: string | undefined;
  /** Path of the library. */
  file: string;
}

/** How many entries of a module's dict are looked at for `__version__`. */
const MAX_ENTRIES = 4096;
const EXTENSION = /\.(cpython-[^/]*|abi3)\.so$|\/site-packages\/.*\.so|\/dist-packages\/.*\.so/;

/** In order of name; one per package. */
export function findExtensionModules(graph: HeapGraph, facts: NativeFacts): ExtensionModule[] {
  const found = new Map<string, ExtensionModule>();
  for (const { name: file } of facts.mappings) {
    if (!isForeignExtension(file)) continue;
    const name = moduleOfLibrary(file);
    if (!found.has(name)) found.set(name, { name, version: findModuleVersion(graph, name), file });
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A module's library or one that a package brings along; not what comes with Python. */
const isForeignExtension = (file: string): boolean =>
  !file.includes('/lib-dynload/') && (EXTENSION.test(file) || isBareExtension(file));

/** `cleak.so`: an extension module that was built without a tag in its name. */
const isBareExtension = (file: string): boolean =>
  /\.so$/.test(file) && !/\/lib[^/]*\.so$/.test(file) && !/^\/(usr\/)?lib(64)?\//.test(file);

/** The package that a library in `site-packages` belongs to, else its module's name. */
export function moduleOfLibrary(file: string): string {
  const inPackages = /\/(?:site|dist)-packages\/([^/]+)/.exec(file)?.[1];
  const part = inPackages ?? file.slice(file.lastIndexOf('/') + 1);
  // Libraries that wheels bring along lie in numpy.libs.
  return part.replace(/\.libs$/, '').replace(/\..*$/, '');
}

/** `__version__` of a module in `sys.modules`. */
export function findModuleVersion(graph: HeapGraph, name: string): string | undefined {
  for (let root = 0; root < graph.rootNode.length; root++) {
    if (graph.rootKind[root] !== RootKind.module || graph.rootLabel[root] === NONE) continue;
    if (graph.strings[graph.rootLabel[root]] !== name) continue;
    const version = findModuleEntry(graph, graph.rootNode[root], '__version__', MAX_ENTRIES);
    return version?.replace(/^'|'$/g, '');
  }
  return undefined;
}
