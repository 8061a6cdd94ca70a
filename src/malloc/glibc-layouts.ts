// Where glibc keeps what it knows of its heap: offsets in bytes, x86-64, under their C names. One row per change of a
// struct; which row a process has is recognised by the structure of its data (find-arenas.ts, free-lists.ts), never by
// a version number. Source: glibc malloc/malloc.c, malloc/arena.c, 2.28 to 2.43.
//
// Not handled: other architectures, builds without tcache, MALLOC_ALIGNMENT other than 16.

/** `struct malloc_state`: an arena. */
export interface MallocStateLayout {
  name: string;
  flags: number;
  /** -1 where there are none. */
  fastbinsY: number;
  top: number;
  bins: number;
  next: number;
  attached_threads: number;
  system_mem: number;
  max_system_mem: number;
  sizeBytes: number;
}

export const NFASTBINS = 10;
/** Bins that exist: bin 1 is the unsorted one. */
export const BIN_COUNT = 127;
const BINS_BYTES = 2 * BIN_COUNT * 8;
const BINMAP_BYTES = 16;

const stateLayout = (name: string, fastbinsY: number, top: number): MallocStateLayout => {
  const bins = top + 16;
  const next = bins + BINS_BYTES + BINMAP_BYTES;
  return {
    name,
    flags: 4,
    fastbinsY,
    top,
    bins,
    next,
    attached_threads: next + 16,
    system_mem: next + 24,
    max_system_mem: next + 32,
    sizeBytes: next + 40,
  };
};

export const mallocStateLayouts: readonly MallocStateLayout[] = [
  stateLayout('malloc_state 2.27', 16, 96),
  // Fastbins were removed.
  stateLayout('malloc_state 2.43', -1, 8),
];

/** `struct malloc_par`: `mp_`, of which there is one. */
export interface MallocParLayout {
  name: string;
  trim_threshold: number;
  mmap_threshold: number;
  arena_test: number;
  /** -1 where transparent huge pages are not known. */
  thp_pagesize: number;
  hp_pagesize: number;
  n_mmaps: number;
  n_mmaps_max: number;
  max_n_mmaps: number;
  mmapped_mem: number;
  max_mmapped_mem: number;
  sbrk_base: number;
  tcache_bins: number;
  tcache_max_bytes: number;
  tcache_count: number;
  sizeBytes: number;
  /** The size of an mmapped chunk leaves out its header of 16 bytes. */
  mmappedSizeIsShort: boolean;
}

const parLayout = (
  name: string,
  thp_pagesize: number,
  n_mmaps: number,
  mmapped_mem: number,
): MallocParLayout => ({
  name,
  trim_threshold: 0,
  mmap_threshold: 16,
  arena_test: 24,
  thp_pagesize,
  hp_pagesize: thp_pagesize < 0 ? -1 : thp_pagesize + 8,
  n_mmaps,
  n_mmaps_max: n_mmaps + 4,
  max_n_mmaps: n_mmaps + 8,
  mmapped_mem,
  max_mmapped_mem: mmapped_mem + 8,
  sbrk_base: mmapped_mem + 16,
  tcache_bins: mmapped_mem + 24,
  tcache_max_bytes: mmapped_mem + 32,
  tcache_count: mmapped_mem + 40,
  sizeBytes: mmapped_mem + 56,
  mmappedSizeIsShort: name.endsWith('2.43'),
});

export const mallocParLayouts: readonly MallocParLayout[] = [
  parLayout('malloc_par 2.26', -1, 40, 56),
  parLayout('malloc_par 2.35', 40, 60, 80),
  parLayout('malloc_par 2.43', 48, 68, 88),
];

/** `heap_info`: the head of a part of a thread's arena. Its size tells its version, so it has one layout. */
export const heapInfo = { ar_ptr: 0, prev: 8, size: 16 } as const;
/** Heaps begin at multiples of this, unless huge pages were asked for (2.35 to 2.41: four of them). */
export const HEAP_MAX_SIZE = 64 << 20;
export const HEAP_INFO_BYTES: readonly number[] = [32, 48];

/** `tcache_perthread_struct`: counts, then entries. */
export interface TcacheLayout {
  name: string;
  countBytes: 1 | 2;
  bins: number;
  entries: number;
  sizeBytes: number;
  /** What is counted: chunks in the bin, or how many more it takes. */
  counts: 'chunks' | 'free slots';
  /** Whether the pointers of lists are mangled (safe-linking, 2.32). */
  mangled: readonly boolean[];
}

export const tcacheLayouts: readonly TcacheLayout[] = [
  {
    name: 'tcache 2.26',
    countBytes: 1,
    bins: 64,
    entries: 64,
    sizeBytes: 576,
    counts: 'chunks',
    mangled: [false],
  },
  {
    name: 'tcache 2.30',
    countBytes: 2,
    bins: 64,
    entries: 128,
    sizeBytes: 640,
    counts: 'chunks',
    mangled: [true, false],
  },
  {
    name: 'tcache 2.42',
    countBytes: 2,
    bins: 76,
    entries: 152,
    sizeBytes: 760,
    counts: 'free slots',
    mangled: [true],
  },
];

/** Bins of tcache below this hold chunks of one size; those above (2.42) a power of two to the next. */
export const TCACHE_SMALL_BINS = 64;

// struct malloc_chunk and its flags
export const PREV_INUSE = 1;
export const IS_MMAPPED = 2;
export const NON_MAIN_ARENA = 4;
export const MIN_CHUNK_BYTES = 32;
/** sizeof(struct malloc_chunk). */
export const CHUNK_STRUCT_BYTES = 48;
/** malloc_state.flags */
export const NONCONTIGUOUS = 2;
