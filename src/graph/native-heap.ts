// What a capture knows of the memory outside of Python objects: the ledger, the blocks that no Python object owns, and
// what the allocators hold free. The part of a HeapGraph that `src/capture` fills for `ledger`, `native` and `hunt`.

/** Every resident byte is in exactly one of these; in the order in which they are printed. */
export const ACCOUNTS = [
  /** Blocks that hold a Python object, those that nothing reaches left out. */
  'pythonObjects',
  /** Blocks that such an object owns: items of lists, tables of dicts, data of arrays. */
  'pythonBuffers',
  /** Objects that only cyclic garbage or a lost reference holds, with what they own. */
  'unreachableObjects',
  /** Blocks of C code that Python objects lead to. */
  'nativeOwned',
  /** Blocks that only C code's own data, stacks or other memory lead to. */
  'nativeReachable',
  /** Blocks that nothing leads to. */
  'nativeUnreachable',
  /** Free blocks in pools of pymalloc that are in use. */
  'pymallocFreeBlocks',
  /** Free pools, and what was never used of arenas. */
  'pymallocFreePools',
  /** Headers of pools, what alignment takes. */
  'pymallocOverhead',
  /** Free at the end of malloc's heaps. */
  'mallocTop',
  /** Free whole pages between blocks in use, which malloc_trim would return. */
  'mallocTrimmable',
  /** Free parts of pages in which something is in use. */
  'mallocStuck',
  /** malloc's own structures. */
  'mallocOverhead',
  'threadStacks',
  /** Pages of mapped files, code and libraries' data included. */
  'fileBacked',
  'shared',
  /** Private memory of nobody known: mmap of C code, other allocators. */
  'otherAnonymous',
] as const;
export type Account = (typeof ACCOUNTS)[number];

export interface Ledger {
  /** As the kernel counted it at that moment. */
  rssBytes: number;
  /** Shared pages divided by who shares them; undefined if it was not asked for. */
  pssBytes?: number | undefined;
  accounts: Record<Account, number>;
  /** What the accounts do not explain; below 0 if they have more than the kernel counts. */
  residueBytes: number;
  /** Accounts that are what others leave of a mapping, and not counted by themselves. */
  remainders: Account[];
  /** Counters of others for the same thing. */
  checks: LedgerCheck[];
}

/** Freed by the program, and held by its allocators. */
export const FREE_ACCOUNTS: readonly Account[] = [
  'pymallocFreeBlocks',
  'pymallocFreePools',
  'mallocTop',
  'mallocTrimmable',
  'mallocStuck',
];

export const countFree = ({ accounts }: Ledger): number =>
  FREE_ACCOUNTS.reduce((sum, name) => sum + accounts[name], 0);

export interface LedgerCheck {
  /** `mp_.n_mmaps`, `pools by their headers` */
  name: string;
  expected: number;
  found: number;
}

export const BlockState = {
  /** Nothing leads to it. */
  lost: 0,
  /** Only C code's memory leads to it. */
  retained: 1,
} as const;
export type BlockState = (typeof BlockState)[keyof typeof BlockState];

/** Blocks that are alike: what a leak is counted by. */
export interface BlockGroup {
  state: BlockState;
  allocator: 'malloc' | 'pymalloc';
  /** Blocks of this class of size have [least, most] bytes, the allocator's header included. */
  leastBytes: number;
  mostBytes: number;
  /** Of the blocks that there are. */
  smallestBytes: number;
  largestBytes: number;
  /** What they seem to hold: `vtable for Big (libbig.so)`, `text`, `zeros`, `data`. */
  signature: string;
  /** For retained blocks: whose memory leads to the first of them, `libbig.so`, `stack of thread main`; else empty. */
  heldBy: string;
  /** Lost blocks: row of the group whose blocks lead to these, and with which they were lost; undefined for heads. */
  partOf?: number | undefined;
  /** The library that the signature names, as the target sees its path; empty if none. */
  library: string;
  /** The first bytes of the first block. */
  exampleAddress: number;
  exampleBytes: number[];
}

/** One row per thread that ran. */
export interface ThreadFacts {
  tid: number;
  name: string;
  /** Resident. */
  stackBytes: number;
}

/** Resident memory outside of the allocators, by what it is mapped from. */
export interface MappingFacts {
  /** A path, `[heap]`, `[anonymous]`. */
  name: string;
  account: Account;
  count: number;
  bytes: number;
}

/** One arena of malloc, or all of pymalloc's, with what they hold free; resident bytes throughout. */
export interface ArenaFacts {
  allocator: 'malloc' | 'pymalloc';
  /** `main`, `thread 3`, `mmapped`; of pymalloc `sparse` (mostly free arenas) and `dense`. */
  name: string;
  /** Arenas in this row. */
  count: number;
  residentBytes: number;
  usedBytes: number;
  /** Of the free ones: whole pages that malloc_trim would return, with the part that is at the end of the heap. */
  trimmableBytes: number;
  trimmableTopBytes: number;
  /** Free, in pages in which something is in use. */
  stuckBytes: number;
  /** Free at the end of a heap that malloc_trim leaves. */
  topBytes: number;
}

/** What keeps mostly free memory of an allocator: objects of one type, by themselves or by a buffer of theirs. */
export interface PinFacts {
  allocator: 'malloc' | 'pymalloc';
  /** Of Python; `blocks of C code` for what no object owns. */
  type: string;
  count: number;
  bytes: number;
  /** One of the objects (of the blocks); 0 if there is none. */
  exampleAddress: number;
}

export interface NativeFacts {
  ledger: Ledger;
  /** `glibc`, `jemalloc`, `unknown`. */
  allocator: string;
  /** How it was recognised. */
  evidence: string[];
  /** Whether blocks could be told at all: `lost` and `retained` mean nothing otherwise. */
  blocksAreKnown: boolean;
  groups: BlockGroup[];
  threads: ThreadFacts[];
  mappings: MappingFacts[];
  arenas: ArenaFacts[];
  /** The most bytes first; empty where little is free. */
  pins: PinFacts[];
  /** Damage seen in malloc's structures, at most a few. */
  corruption: string[];
}

/** Blocks that no Python object owns, ascending by address. */
export interface NativeHeap {
  readonly blockAddress: Float64Array;
  /** Bytes with the allocator's header. */
  readonly blockSize: Float64Array;
  /** Per block: row of `facts.groups`. */
  readonly blockGroup: Uint32Array;
  /** Nodes, ascending, whose reference count is above the pointers to them that exist anywhere, and by how much. */
  readonly excessNode: Uint32Array;
  readonly excessCount: Uint32Array;
  /**
   * Nodes, ascending, that have more references than were found and to which only lost blocks lead, and the row of the group
   * of these: they are lost with them.
   */
  readonly heldNode: Uint32Array;
  readonly heldGroup: Uint32Array;
  readonly facts: NativeFacts;
}
