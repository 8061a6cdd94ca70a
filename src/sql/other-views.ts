// The views that are not of objects: captures, ledger and blocks. docs/sql.md has every column.

import { ACCOUNTS, BlockState } from '../graph/native-heap.ts';
import type { SqlCapture } from './sql-capture.ts';
import {
  CAPTURE_COLUMN,
  type Cell,
  type ColumnType,
  type View,
  type ViewColumn,
} from './view-columns.ts';

/** A column of the one row that a capture has in `captures`. */
const fact = (
  name: string,
  type: ColumnType,
  about: string,
  of: (capture: SqlCapture) => Cell,
): ViewColumn => ({
  name,
  type,
  about,
  open: (capture) => {
    const cell = of(capture);
    return () => cell;
  },
});

const captures: View = {
  name: 'captures',
  about: 'one row for each capture',
  countRows: () => 1,
  columns: [
    CAPTURE_COLUMN,
    fact('target', 'text', 'pid or file, as it was given', ({ target }) => target),
    fact('at', 'time', 'when the process was stopped, UTC', ({ graph }) =>
      Date.parse(graph.capture.at),
    ),
    fact('pid', 'whole', 'of the process', ({ graph }) => graph.capture.pid),
    fact('python', 'text', 'version of the interpreter', ({ graph }) => graph.capture.python),
    fact('started_at', 'time', 'when the process began, UTC', ({ graph }) => {
      const { processStartedAt } = graph.capture;
      return processStartedAt === 0 ? undefined : Math.round(processStartedAt * 1000);
    }),
    fact('command', 'text', 'arguments of the process; empty if redacted', ({ graph }) =>
      graph.capture.command.join(' '),
    ),
    fact('objects', 'whole', 'how many there are', ({ graph }) => graph.nodeCount),
    fact('edges', 'whole', 'references, weak ones left out', ({ graph }) => graph.edgeCount),
    fact('rss_bytes', 'whole', 'resident set', ({ graph }) => graph.capture.rssBytes),
    fact(
      'pause_ms',
      'real',
      'for how long the process stood still',
      ({ graph }) => graph.capture.pauseMs,
    ),
    fact(
      'coverage',
      'real',
      'share of the references met that led to an object',
      ({ graph }) => graph.capture.coverage,
    ),
    fact(
      'redacted',
      'flag',
      'contents were dropped',
      ({ graph }) => graph.capture.isRedacted === true,
    ),
  ],
};

const ledger: View = {
  name: 'ledger',
  about: 'every resident byte in one account; no rows for captures without C memory',
  countRows: ({ graph }) => (graph.native === undefined ? 0 : ACCOUNTS.length + 1),
  columns: [
    CAPTURE_COLUMN,
    {
      name: 'account',
      type: 'text',
      about: 'as leakscope ledger has them; `residue`: what the accounts do not explain',
      open: () => {
        return (row) => ACCOUNTS[row] ?? 'residue';
      },
    },
    {
      name: 'bytes',
      type: 'whole',
      about: 'resident',
      open: ({ graph }) => {
        const { accounts, residueBytes } = graph.native?.facts.ledger ?? {};
        return (row) => (row < ACCOUNTS.length ? accounts?.[ACCOUNTS[row]] : residueBytes);
      },
    },
  ],
};

const ofGroup = (
  name: string,
  about: string,
  of: (group: NonNullable<SqlCapture['graph']['native']>['facts']['groups'][number]) => Cell,
): ViewColumn => ({
  name,
  type: 'text',
  about,
  open: ({ graph: { native } }) => {
    return (row) =>
      native === undefined ? undefined : of(native.facts.groups[native.blockGroup[row]]);
  },
});

const blocks: View = {
  name: 'blocks',
  about: 'one row for each block of C memory that is lost, or that only C code holds',
  countRows: ({ graph }) => graph.native?.blockAddress.length ?? 0,
  columns: [
    CAPTURE_COLUMN,
    {
      name: 'address',
      type: 'address',
      about: 'of the block',
      open: ({ graph: { native } }) => {
        return (row) => native?.blockAddress[row];
      },
    },
    {
      name: 'bytes',
      type: 'whole',
      about: "with the allocator's header",
      open: ({ graph: { native } }) => {
        return (row) => native?.blockSize[row];
      },
    },
    ofGroup('state', '`lost`: nothing leads to it; `retained`: only C code does', ({ state }) =>
      state === BlockState.lost ? 'lost' : 'retained',
    ),
    ofGroup('allocator', 'malloc or pymalloc', ({ allocator }) => allocator),
    ofGroup('signature', 'what it seems to hold', ({ signature }) => signature),
    ofGroup('held_by', 'whose memory leads to it; NULL: lost', ({ heldBy }) =>
      heldBy === '' ? undefined : heldBy,
    ),
    ofGroup('library', 'that the signature names; NULL: none', ({ library }) =>
      library === '' ? undefined : library,
    ),
  ],
};

export const OTHER_VIEWS: readonly View[] = [ledger, blocks, captures];
