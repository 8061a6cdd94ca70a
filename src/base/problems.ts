// What could not be decoded in a heap that changed under the reader or is damaged: counted exactly, with a few example
// addresses, and printed with the report's coverage. Decoders record here instead of throwing.

const MAX_EXAMPLES = 8;

export interface Problem {
  /** A short stable name: `list-items-unreadable`. */
  kind: string;
  count: number;
  /** The first addresses concerned, at most 8. */
  examples: number[];
}

export class Problems {
  private readonly byKind = new Map<string, Problem>();

  /** Counts one problem of `kind` at `address` of the target. */
  add(kind: string, address: number, count = 1): void {
    let problem = this.byKind.get(kind);
    if (problem === undefined) {
      problem = { kind, count: 0, examples: [] };
      this.byKind.set(kind, problem);
    }
    problem.count += count;
    if (problem.examples.length < MAX_EXAMPLES) problem.examples.push(address);
  }

  /** Adds what was counted elsewhere after all that was counted here. */
  append({ kind, count, examples }: Problem): void {
    const problem = this.byKind.get(kind);
    if (problem === undefined) {
      this.byKind.set(kind, { kind, count, examples: [...examples] });
      return;
    }
    problem.count += count;
    problem.examples = [...problem.examples, ...examples].slice(0, MAX_EXAMPLES);
  }

  /** All kinds, the most frequent first. */
  list(): Problem[] {
    return [...this.byKind.values()].sort(
      (a, b) => b.count - a.count || (a.kind < b.kind ? -1 : 1),
    );
  }

  get total(): number {
    let total = 0;
    for (const problem of this.byKind.values()) total += problem.count;
    return total;
  }
}
