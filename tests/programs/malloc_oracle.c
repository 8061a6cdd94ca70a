/* Fills glibc's heap as malloc_oracle.py asks, and answers for it without allocating anything: counters, its own blocks
   with their usable sizes, what malloc_trim brings. A library for ctypes, so that it runs with each glibc of the tests:
   only functions of glibc 2.2.5 are called, mallinfo2 comes as a pointer. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST (1 << 20)

struct mallinfo_wide { size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost; };

static void *blocks[MOST];
static int block_count;
static void *freed[MOST];
static int freed_count;
static char out[1 << 16];
static size_t out_length;

static void flush_out (void)
{
  size_t done = 0;
  while (done < out_length)
    {
      ssize_t n = write (1, out + done, out_length - done);
      if (n <= 0) _exit (1);
      done += n;
    }
  out_length = 0;
}

static void print (const char *format, ...)
{
  va_list arguments;
  if (out_length > sizeof out - 512) flush_out ();
  va_start (arguments, format);
  out_length += vsnprintf (out + out_length, 512, format, arguments);
  va_end (arguments);
}

static unsigned next_random (unsigned *state)
{
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

static void keep (void *block, size_t size)
{
  int at = __sync_fetch_and_add (&block_count, 1);
  if (block == NULL || at >= MOST) abort ();
  memset (block, 0x5a, size < 64 ? size : 64);
  blocks[at] = block;
}

/* `count` blocks of many sizes and alignments, of which about half are freed again on the way. */
void churn (unsigned seed, int count)
{
  void *recent[64] = { 0 };
  unsigned state = seed;
  for (int i = 0; i < count; i++)
    {
      unsigned kind = next_random (&state) % 100, slot = next_random (&state) % 64;
      size_t size = kind < 60 ? 1 + next_random (&state) % 300
                  : kind < 90 ? 300 + next_random (&state) % 4000
                  : 4000 + next_random (&state) % 60000;
      void *block = kind == 99 ? memalign (64u << next_random (&state) % 8, size) : malloc (size);
      if (recent[slot] != NULL && (next_random (&state) & 1)) free (recent[slot]);
      else if (recent[slot] != NULL) keep (recent[slot], 1);
      recent[slot] = block;
      memset (block, 0xa5, size);
    }
  for (int i = 0; i < 64; i++) if (recent[i] != NULL) keep (recent[i], 1);
}

/* Blocks with a mapping of their own, aligned and resized ones among them. */
void map_blocks (int count)
{
  for (int i = 0; i < count; i++)
    {
      size_t size = 40000000 + 12345 * (size_t) i;
      void *block = malloc (size);
      if (i % 4 == 1)
        {
          free (block);
          block = memalign (i % 8 == 1 ? 32 : (size_t) 64 << (i % 16), size);
        }
      if (i % 4 == 2) block = realloc (block, size + 5000000);
      keep (block, 64);
    }
}

/* `count` blocks of which every `every`th survives. */
void survivors (int count, size_t size, int every)
{
  void **all = mmap (NULL, count * sizeof *all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < count; i++) memset (all[i] = malloc (size), 1, size);
  for (int i = 0; i < count; i++)
    if (i % every == 0) keep (all[i], size);
    else free (all[i]);
  munmap (all, count * sizeof *all);
}

/* Never ends: a thread that stands in malloc most of the time. */
void allocate_forever (size_t size)
{
  static __thread void *recent[3000];
  for (unsigned i = 0;; i++)
    {
      if (i % 3000 == 0)
        for (int j = 0; j < 3000; j++)
          {
            free (recent[j]);
            recent[j] = NULL;
          }
      memset (recent[i % 3000] = malloc (size), 1, size);
    }
}

/* Something else takes the memory behind the heap of brk. */
int block_brk (void)
{
  uintptr_t end = ((uintptr_t) sbrk (0) + 4095) & ~(uintptr_t) 4095;
  void *page = mmap ((void *) end, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000, -1, 0);
  return page == (void *) end;
}

/* Takes memory from brk that malloc does not know of. */
void foreign_sbrk (size_t size)
{
  memset (sbrk (size), 0x21, size);
}

static size_t anonymous_kib (void)
{
  static char text[8192];
  int fd = open ("/proc/self/smaps_rollup", O_RDONLY);
  ssize_t length = fd < 0 ? 0 : read (fd, text, sizeof text - 1);
  if (fd >= 0) close (fd);
  text[length < 0 ? 0 : length] = 0;
  char *line = strstr (text, "\nAnonymous:");
  return line == NULL ? 0 : strtoul (line + 11, NULL, 10);
}

static void report (struct mallinfo_wide (*mallinfo2_function) (void), int tells_blocks)
{
  struct mallinfo_wide m = { 0 };
  if (mallinfo2_function != NULL) m = mallinfo2_function ();
  else
    {
      struct mallinfo narrow = mallinfo ();
      m = (struct mallinfo_wide) { narrow.arena, narrow.ordblks, narrow.smblks, narrow.hblks, narrow.hblkhd,
        narrow.usmblks, narrow.fsmblks, narrow.uordblks, narrow.fordblks, narrow.keepcost };
    }
  print ("{\"arena\":%zu,\"ordblks\":%zu,\"smblks\":%zu,\"hblks\":%zu,\"hblkhd\":%zu,\"fsmblks\":%zu,\"uordblks\":%zu,"
         "\"fordblks\":%zu,\"keepcost\":%zu,\"live\":[", m.arena, m.ordblks, m.smblks, m.hblks, m.hblkhd, m.fsmblks,
         m.uordblks, m.fordblks, m.keepcost);
  for (int i = 0, first = 1; tells_blocks && i < block_count; i++)
    if (blocks[i] != NULL)
      {
        print ("%s[%zu,%zu]", first ? "" : ",", (size_t) blocks[i], malloc_usable_size (blocks[i]));
        first = 0;
      }
  print ("],\"freed\":[");
  for (int i = 0; i < freed_count; i++) print ("%s%zu", i == 0 ? "" : ",", (size_t) freed[i]);
  print ("]}\n");
  flush_out ();
}

/* Frees every `free_every`th block (none: 0; and tells of none: -1), reports, and then trims for each line of its input. Allocates nothing. */
void serve (void *mallinfo2_function, int free_every)
{
  char line[64];
  for (int i = 0; free_every > 0 && i < block_count; i += free_every)
    {
      freed[freed_count++] = blocks[i];
      free (blocks[i]);
      blocks[i] = NULL;
    }
  report ((struct mallinfo_wide (*) (void)) mallinfo2_function, free_every >= 0);
  while (read (0, line, sizeof line) > 0)
    {
      size_t before = anonymous_kib ();
      malloc_trim (0);
      print ("{\"trimmedBytes\":%zd}\n", (ssize_t) (before - anonymous_kib ()) * 1024);
      flush_out ();
    }
}
