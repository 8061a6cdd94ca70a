// Keeps src/ in the shape that ARCHITECTURE.md describes: which folder may import which, what may not need Node, and
// the rules that keep files easy to find and to read. Reads the sources as text; types count as imports.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const MAX_LINES = 500;
const MAX_FOLDER_DEPTH = 2;

/** What each folder of src/ may import besides itself. */
const importTable: Record<string, readonly string[]> = {
  base: [],
  threads: ['base'],
  memory: ['base', 'threads'],
  graph: ['base'],
  malloc: ['base', 'memory', 'graph'],
  cpython: ['base', 'memory', 'graph'],
  capture: ['base', 'memory', 'threads', 'graph', 'malloc', 'cpython'],
  analysis: ['base', 'graph'],
  report: ['base', 'graph', 'analysis'],
  sql: ['base', 'graph', 'analysis', 'report'],
  remote: ['base', 'memory', 'cpython'],
  tools: ['base', 'report'],
  watch: ['base', 'memory', 'threads', 'graph', 'capture', 'analysis', 'report', 'remote', 'tools'],
  gate: ['base', 'capture', 'analysis', 'report', 'remote', 'tools'],
  server: everythingBut('cli', 'server'),
  web: ['base', 'report'],
  cli: everythingBut('cli'),
};

/** These also run in a browser. */
const foldersWithoutNode = ['base', 'graph', 'analysis', 'report', 'web'];

function everythingBut(...folders: string[]): string[] {
  const all =
    'base memory threads graph malloc cpython capture analysis report sql remote tools watch gate server web cli';
  return all.split(' ').filter((folder) => !folders.includes(folder));
}

interface SourceFile {
  /** `cpython/layout.ts` */
  path: string;
  /** `cpython` */
  folder: string;
  text: string;
  isTest: boolean;
}

const root = fileURLToPath(new URL('../../src', import.meta.url));

const sources: SourceFile[] = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.tsx?$/.test(path) && statSync(join(root, path)).isFile())
  .map((path) => ({
    path,
    folder: path.split('/')[0],
    text: readFileSync(join(root, path), 'utf8'),
    isTest: path.endsWith('.test.ts'),
  }));
// Tests beside the code may use what they like to build their subject.
const programs = sources.filter((source) => !source.isTest);

/** The module names in `import ... from`, `export ... from`, `import '...'` and `import('...')`. */
function findImports(text: string): string[] {
  const pattern =
    /^\s*(?:import|export)\s+(?:[\w*{}\s,$]+?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  return [...text.matchAll(pattern)].map((match) => match[1] ?? match[2]);
}

/** The folder of src/ that a relative import leads to; undefined for packages and files outside of src/. */
function folderOf(source: SourceFile, imported: string): string | undefined {
  if (!imported.startsWith('.')) return undefined;
  const path = relative(root, resolve(root, dirname(source.path), imported));
  return path.startsWith('..') ? undefined : path.split('/')[0];
}

const isNodeModule = (name: string): boolean =>
  name.startsWith('node:') || builtinModules.includes(name);

/** Code without comments, so that prose is not taken for code. */
const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');

describe('the search for imports', () => {
  it('finds static, re-exporting, bare and dynamic ones, over several lines', () => {
    const text = [
      "import { a } from './a.ts';",
      'import {\n  b,\n  c,\n} from "../b.ts";',
      "import type { D } from './d.ts';",
      "export { e } from './e.ts';",
      "import './f.ts';",
      "const g = await import('./g.ts');",
      "export const text = 'not an import';",
    ].join('\n');
    expect(findImports(text)).toEqual([
      './a.ts',
      '../b.ts',
      './d.ts',
      './e.ts',
      './f.ts',
      './g.ts',
    ]);
  });
});

describe('src/', () => {
  it('has only the folders of the import table', () => {
    const unknown = sources.filter((source) => importTable[source.folder] === undefined);
    expect(unknown.map((source) => source.path)).toEqual([]);
  });

  it('imports only what the table allows', () => {
    const wrong = programs.flatMap((source) =>
      findImports(source.text)
        .filter((imported) => {
          const folder = folderOf(source, imported);
          if (folder === undefined || folder === source.folder) return false;
          return !importTable[source.folder]?.includes(folder);
        })
        .map((imported) => `${source.path} imports ${imported}`),
    );
    expect(wrong).toEqual([]);
  });

  it('takes nothing but types into web', () => {
    const values = programs
      .filter((source) => source.folder === 'web')
      .flatMap((source) =>
        [...source.text.matchAll(/^import (?!type\b)[^'"]*['"](\.\.\/[^'"]+)['"]/gm)]
          .filter((match) => folderOf(source, match[1]) === 'report')
          .map((match) => `${source.path} imports ${match[1]}`),
      );
    expect(values).toEqual([]);
  });

  it('needs no Node where the code also runs in a browser', () => {
    const wrong = programs
      .filter((source) => foldersWithoutNode.includes(source.folder))
      .flatMap((source) => {
        const modules = findImports(source.text).filter(isNodeModule);
        const globals =
          /\bBuffer\.|\bprocess\.(?:env|argv|std\w+|exit\w*|cwd|hrtime|memoryUsage)\b/.exec(
            withoutComments(source.text),
          );
        return [...modules, ...(globals ?? [])].map((name) => `${source.path} uses ${name}`);
      });
    expect(wrong).toEqual([]);
  });

  it(`has no file of more than ${MAX_LINES} lines`, () => {
    const long = sources
      .map((source) => ({ path: source.path, lines: source.text.split('\n').length - 1 }))
      .filter((source) => source.lines > MAX_LINES);
    expect(long).toEqual([]);
  });

  it('has no file whose name says nothing about its contents', () => {
    const vague = sources.filter((source) =>
      /(^|\/)(utils?|types|index|helpers?|common|misc)\.ts$/.test(source.path),
    );
    expect(vague.map((source) => source.path)).toEqual([]);
  });

  it(`has folders of at most ${MAX_FOLDER_DEPTH} levels`, () => {
    const deep = sources.filter((source) => source.path.split('/').length - 1 > MAX_FOLDER_DEPTH);
    expect(deep.map((source) => source.path)).toEqual([]);
  });

  it('says at the beginning of each file what the file is for', () => {
    const bare = programs.filter((source) => !/^(#!.*\n)?(\/\/|\/\*)/.test(source.text));
    expect(bare.map((source) => source.path)).toEqual([]);
  });

  it('has no default exports', () => {
    const found = programs.filter((source) => /^export default\b/m.test(source.text));
    expect(found.map((source) => source.path)).toEqual([]);
  });

  it('compares Python versions in cpython/version.ts only', () => {
    // By their names: a number or a "3.x" next to something called minor, python version or the like.
    const comparison =
      /\b(?:minor|(?:python|layout\.?)version|versionHex|version_hex)\b\s*(?:[<>]=?|[!=]==)\s*[\d'"]|\bversion\b[^=\n;]{0,20}(?:[<>]=?|[!=]==)\s*['"]3\.|\bversion\.startsWith\(/i;
    const wrong = programs
      .filter((source) => source.path !== 'cpython/version.ts')
      .flatMap((source) => {
        const found = comparison.exec(withoutComments(source.text));
        return found === null ? [] : [`${source.path}: ${found[0]}`];
      });
    expect(wrong).toEqual([]);
  });
});
