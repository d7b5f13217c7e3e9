/*
 * FLBPluginFlushCtx. Fluent Bit calls it in a coroutine of the output's thread, and
 * a Go plugin that only comes back when its chunk is delivered holds all of that
 * thread: with answers after 50 ms one worker delivers 20 chunks a second, where
 * Fluent Bit's own outputs, which give the thread back while they wait, have as
 * many under way as there are.
 *
 * So here a flush's coroutine is left at once. An eventfd in the thread's event loop
 * has the flush started on a goroutine, and the coroutine resumed when it has ended.
 * Go is called on the thread's own stack alone: of a coroutine's it would use some
 * pages, which is 1 MB for a hundred flushes, and each time that a thread calls it on
 * another stack it asks the system for the bounds of that (callbackUpdateSystemStack in
 * runtime/cgocall.go), which for a coroutine's it does not get, and guesses.
 *
 * All that takes is exported by Fluent Bit's binary and has been the same from 1.9 to 5.1:
 *
 *   - struct mk_event and mk_event_add (lib/monkey, mk_core/mk_event.h), with the
 *     type for a handler of one's own, which both kinds of event loop call
 *     (src/flb_engine.c, src/flb_output_thread.c);
 *   - flb_engine_evl_get, the thread's event loop;
 *   - co_active and co_switch, libco's coroutines (lib/flb_libco/libco.h);
 *   - flb_coro_get and flb_coro_set, Fluent Bit's note of the one that runs;
 *   - the first members of that note, struct flb_coro (include/fluent-bit/flb_coro.h).
 *
 * Where one of them is missing, a flush holds its thread. It does so as well on the
 * engine's own thread (workers 0): Fluent Bit frees the chunks of that thread's
 * coroutines at its end without resuming them. A worker's thread ends when its last
 * coroutine has (output_thread in src/flb_output_thread.c).
 */
#include "wait.h"
#include "_cgo_export.h"

#ifdef __linux__

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct list {
    struct list *prev, *next;
};

/* struct mk_event. */
struct event {
    int fd;
    int type;
    uint32_t mask;
    uint8_t status;
    void *data;
    int (*handler)(void *event);
    struct list head, priority_head;
    char priority;
};

enum { EVENT_READ = 1, EVENT_CUSTOM = 4 }; /* MK_EVENT_READ, MK_EVENT_CUSTOM */

struct queue {
    struct flb_flush *first, **last;
};

struct flb_loop {
    struct event event; /* first: the handler gets its address */
    int fd;
    void *self;         /* the loop's own coroutine, to go back to; NULL until it is known */
    struct queue come;  /* flushes to be started, of the thread alone */
    pthread_mutex_t mu; /* guards ended */
    struct queue ended;
};

static void clear(struct queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static void put(struct queue *q, struct flb_flush *flush)
{
    flush->next = NULL;
    *q->last = flush;
    q->last = &flush->next;
}

static struct flb_flush *take(struct queue *q)
{
    struct flb_flush *flush = q->first;

    if (flush != NULL && (q->first = flush->next) == NULL) {
        clear(q);
    }
    return flush;
}

static void *(*evl_get)(void);
static int (*event_add)(void *evl, int fd, int type, uint32_t mask, void *event);
static void *(*active)(void);
static void (*switch_to)(void *coroutine);
static void *(*coro_get)(void);
static void (*coro_set)(void *coro);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int complete;           /* all of the above are there */
static pthread_key_t loop_key; /* for its destructor */

static __thread struct flb_loop *loop;
static __thread int decided;

static void free_loop(void *p)
{
    struct flb_loop *l = p;

    pthread_mutex_lock(&l->mu); /* who ended the last flush may still hold it */
    pthread_mutex_unlock(&l->mu);
    pthread_mutex_destroy(&l->mu);
    close(l->fd);
    free(l);
}

/* Through a void * in memory, see LOOK_UP in symbols.c. */
#define LOOK_UP(var, name) (*(void **) &(var) = dlsym(RTLD_DEFAULT, name))

static void resolve(void)
{
    LOOK_UP(evl_get, "flb_engine_evl_get");
    LOOK_UP(event_add, "mk_event_add");
    LOOK_UP(active, "co_active");
    LOOK_UP(switch_to, "co_switch");
    LOOK_UP(coro_get, "flb_coro_get");
    LOOK_UP(coro_set, "flb_coro_set");
    complete = evl_get && event_add && active && switch_to && coro_get && coro_set &&
               pthread_key_create(&loop_key, free_loop) == 0;
}

/* resume lets a flush's coroutine come back to Fluent Bit with the result. */
static void resume(struct flb_flush *flush)
{
    coro_set(flush->coro);
    switch_to(flush->self); /* comes back when Fluent Bit has it */
}

/* on_event is called by the loop when its eventfd was written to. */
static int on_event(void *event)
{
    struct flb_loop *l = event;
    struct flb_flush *flush;
    struct queue ended;
    uint64_t n;

    if (read(l->fd, &n, sizeof(n)) < 0) { /* nothing to read */
        return 0;
    }
    l->self = active();
    aws_for_fluent_bit_turn();
    while ((flush = take(&l->come)) != NULL) {
        if (!aws_for_fluent_bit_flush_start(flush)) {
            flush->result = aws_for_fluent_bit_flush(flush->context, flush->data, flush->size, flush->tag);
            resume(flush);
        }
    }
    pthread_mutex_lock(&l->mu);
    ended = l->ended;
    clear(&l->ended);
    pthread_mutex_unlock(&l->mu);
    if (ended.first != NULL) {
        aws_for_fluent_bit_flushes_end(ended.first);
    }
    while ((flush = take(&ended)) != NULL) {
        resume(flush);
    }
    return 0;
}

/*
 * caller returns the coroutine that resumed this one, which is the loop's, NULL when
 * struct flb_coro is another one than is known here: { caller, callee, ... }, with a
 * number of valgrind's before these in some builds. The callee is who reads this.
 */
static void *caller(void)
{
    void **coro = coro_get(), *self = active();

    if (coro == NULL || self == NULL) {
        return NULL;
    }
    return coro[1] == self ? coro[0] : coro[2] == self ? coro[1] : NULL;
}

/* loop_here returns the loop of this thread, NULL when flushes have to hold it. */
static struct flb_loop *loop_here(uintptr_t context)
{
    struct flb_loop *l;
    void *evl;

    if (decided) {
        return loop;
    }
    decided = 1;
    pthread_once(&once, resolve);
    if (!complete || !aws_for_fluent_bit_may_wait(context) || (evl = evl_get()) == NULL ||
        (l = calloc(1, sizeof(*l))) == NULL) {
        return NULL;
    }
    clear(&l->come);
    clear(&l->ended);
    l->event.handler = on_event;
    l->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&l->mu, NULL);
    if (l->fd < 0 || event_add(evl, l->fd, EVENT_CUSTOM, EVENT_READ, &l->event) != 0 ||
        pthread_setspecific(loop_key, l) != 0) {
        return NULL; /* some bytes are lost */
    }
    l->self = caller();
    flb_loop_wake(l); /* on_event knows it surely */
    loop = l;
    return l;
}

void flb_loop_wake(struct flb_loop *l)
{
    uint64_t one = 1;

    if (write(l->fd, &one, sizeof(one)) < 0) {
        return; /* it is at its limit, and awake */
    }
}

void flb_flush_ended(struct flb_flush *flush, int result)
{
    struct flb_loop *l = flush->loop;

    flush->result = result;
    pthread_mutex_lock(&l->mu);
    if (l->ended.first == NULL) { /* else it is awake, or about to be */
        flb_loop_wake(l);         /* with the lock: without it the thread may have ended */
    }
    put(&l->ended, flush);
    pthread_mutex_unlock(&l->mu);
}

__attribute__((visibility("default")))
int FLBPluginFlushCtx(uintptr_t context, void *data, size_t size, char *tag)
{
    struct flb_loop *l = loop_here(context);
    struct flb_flush flush = {0};

    if (l == NULL || l->self == NULL || l->self == active()) {
        return aws_for_fluent_bit_flush(context, data, size, tag);
    }
    flush.loop = l;
    flush.self = active();
    flush.coro = coro_get();
    flush.context = context;
    flush.data = data;
    flush.size = size;
    flush.tag = tag;
    if (l->come.first == NULL) {
        flb_loop_wake(l);
    }
    put(&l->come, &flush);
    switch_to(l->self);
    return flush.result;
}

#else /* _WIN32 */

__declspec(dllexport)
int FLBPluginFlushCtx(uintptr_t context, void *data, size_t size, char *tag);

int FLBPluginFlushCtx(uintptr_t context, void *data, size_t size, char *tag)
{
    return aws_for_fluent_bit_flush(context, data, size, tag);
}

void flb_loop_wake(struct flb_loop *l)
{
    (void) l;
}

void flb_flush_ended(struct flb_flush *flush, int result)
{
    flush->result = result;
}

#endif
