/* Plain C that loses and holds memory in known ways, for native_leaks.py: loaded with ctypes, so that no headers of Python
   are needed. Addresses go out as numbers; nothing here keeps a plain pointer to what is lost. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *PyMem_Malloc(size_t);

/* Overwrites what calls have left on the stack. */
__attribute__((noinline)) static void
scrub(void)
{
    volatile char room[8192];
    for (size_t i = 0; i < sizeof room; i++)
        room[i] = 0;
}

__attribute__((noinline)) static uintptr_t
take(int where, size_t size)
{
    char *block = where == 0 ? malloc(size) : PyMem_Malloc(size);
    memset(block, 0x5a, size);
    return (uintptr_t)block;
}

/* where: 0 malloc, 1 PyMem_Malloc. hidden[i] is the address, turned around. */
void
lose(int where, size_t size, size_t count, uintptr_t *hidden)
{
    for (size_t i = 0; i < count; i++)
        hidden[i] = ~take(where, size);
    scrub();
}

/* A list whose head is lost: its nodes lead to each other. */
void
lose_chain(size_t size, size_t count, uintptr_t *hidden)
{
    void *next = NULL;
    for (size_t i = 0; i < count; i++) {
        uintptr_t block = take(0, size);
        *(void **)block = next;
        next = (void *)block;
        hidden[i] = ~block;
    }
    next = NULL;
    scrub();
}

struct record {
    void *object;
    char *buffer;
    struct record *more;
    char rest[40];
};

/* Two records that lead to each other's memory, to a buffer each, and the first to a Python object. */
void
lose_record(size_t size, void *object)
{
    struct record *first = (struct record *)take(0, sizeof *first);
    struct record *more = (struct record *)take(0, sizeof *more);
    *more = (struct record){NULL, (char *)take(0, size), NULL, {0}};
    *first = (struct record){object, (char *)take(0, size), more, {0}};
    first = more = NULL;
    scrub();
}

struct work {
    size_t size, count;
    uintptr_t *hidden;
    pthread_barrier_t *barrier;
};

static void *
lose_in_thread(void *argument)
{
    struct work work = *(struct work *)argument;
    lose(0, work.size, work.count, work.hidden);
    pthread_barrier_wait(work.barrier);
    for (;;)
        pause();
    return NULL;
}

/* The threads stay. */
void
lose_in_threads(int threads, size_t size, size_t count, uintptr_t *hidden)
{
    /* Stays: threads are still leaving it when this function is. */
    pthread_barrier_t *barrier =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct work work[threads];
    pthread_barrier_init(barrier, NULL, threads + 1);
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        work[i] = (struct work){size, count, hidden + i * count, barrier};
        pthread_create(&thread, NULL, lose_in_thread, &work[i]);
        pthread_detach(thread);
    }
    pthread_barrier_wait(barrier);
}

/* ---- what is held, each in a way of its own; returns the address */

static void *volatile in_data[64];
static int data_count;
static __thread void *volatile in_tls;
struct cell {
    struct cell *next;
    void *block;
};
static struct cell *volatile cells;

uintptr_t
hold_in_data(size_t size)
{
    return (uintptr_t)(in_data[data_count++] = (void *)take(0, size));
}

/* The only pointer leads to the middle of the block, and carries a tag in its lowest bits. */
uintptr_t
hold_inside(size_t size)
{
    uintptr_t block = take(0, size);
    in_data[data_count++] = (void *)(block + size / 2 / 8 * 8 + 3);
    return block;
}

/* A tag in the 16 highest bits, as lock-free lists and interpreters have it. */
uintptr_t
hold_tagged(size_t size)
{
    uintptr_t block = take(0, size);
    in_data[data_count++] = (void *)(block | (uintptr_t)0x0123 << 48);
    return block;
}

uintptr_t
hold_in_heap(size_t size)
{
    struct cell *cell = malloc(sizeof *cell);
    *cell = (struct cell){cells, (void *)take(0, size)};
    cells = cell;
    return (uintptr_t)cell->block;
}

/* how: 0 anonymous, 1 made read-only, 2 shared and anonymous, 3 of a memfd, 4 of memory that is not told apart from code */
uintptr_t
hold_in_mapping(size_t size, int how)
{
    int flags = how == 2 ? MAP_SHARED | MAP_ANONYMOUS : MAP_PRIVATE | MAP_ANONYMOUS;
    int file = -1;
    if (how == 3) {
        file = memfd_create("held", 0);
        if (file < 0 || ftruncate(file, 65536) != 0)
            return 0;
        flags = MAP_SHARED;
    }
    void **pages = mmap(NULL, 65536, PROT_READ | PROT_WRITE, flags, file, 0);
    uintptr_t block = take(0, size);
    pages[600] = (void *)block;
    if (how == 1)
        mprotect(pages, 65536, PROT_READ);
    if (how == 4)
        mprotect(pages, 65536, PROT_READ | PROT_EXEC);
    return block;
}

/* Only the last page of the block was touched, and the pointer leads to one that never was. */
uintptr_t
hold_untouched(size_t size)
{
    char *block = malloc(size);
    block[size - 1] = 1;
    in_data[data_count++] = block + size / 2;
    return (uintptr_t)block;
}

struct held {
    size_t size;
    int where;
    uintptr_t block;
    pthread_barrier_t barrier;
};

static void *
hold_in_thread(void *argument)
{
    struct held *held = argument;
    uintptr_t block = take(0, held->size);
    held->block = ~block;
    void *volatile on_stack = NULL;
    if (held->where == 0)
        on_stack = (void *)block;
    else
        in_tls = (void *)block;
    pthread_barrier_wait(&held->barrier);
    for (;;)
        pause();
    return on_stack;
}

/* where: 0 on the stack of a thread, 1 in its local storage */
uintptr_t
hold_by_thread(size_t size, int where)
{
    struct held *held = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    held->size = size;
    held->where = where;
    pthread_barrier_init(&held->barrier, NULL, 2);
    pthread_create(&thread, NULL, hold_in_thread, held);
    pthread_detach(thread);
    pthread_barrier_wait(&held->barrier);
    return ~held->block;
}

/* Writes over the header of the chunk behind a block: what an overrun does. */
uintptr_t
overrun(size_t size)
{
    char *block = malloc(size);
    char *next = malloc(size);
    memset(next - 16, 0x41, 24);
    in_data[data_count++] = block;
    in_data[data_count++] = next;
    return (uintptr_t)block;
}
