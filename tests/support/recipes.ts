// The recipes of docs/sql.md by their titles, and the names that the page gives to views and columns.

import { readFileSync } from 'node:fs';

const page = readFileSync(new URL('../../docs/sql.md', import.meta.url), 'utf8');

export function readRecipes(): Map<string, string> {
  const [, recipes] = page.split('## Recipes\n');
  return new Map(
    [...recipes.matchAll(/^### (.+)\n[\s\S]*?```sql\n([\s\S]*?)```/gm)].map(([, title, sql]) => [
      title,
      sql,
    ]),
  );
}

/** The section of each view. */
export function readViewSections(): Map<string, string> {
  const views = page.slice(page.indexOf('## Views'), page.indexOf('## Recipes'));
  return new Map(
    [...views.matchAll(/^### (\w+)\n([\s\S]*?)(?=^### |$(?![\s\S]))/gm)].map(([, name, text]) => [
      name,
      text,
    ]),
  );
}
