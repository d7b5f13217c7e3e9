/*
 * A stand-in for Fluent Bit: loads plugins as its proxy does and drives them
 * with chunks that come in on standard input.
 *
 * What it mirrors is src/flb_plugin_proxy.c and src/proxy/go/go.c of Fluent
 * Bit 5.1.1: which symbols are looked up and in which order, the structs, the
 * one struct that all instances of a plugin share, who calls what on which
 * thread, coroutine stacks, and the order of things at exit.
 *
 * Compiled with SYMBOLS it also defines the functions that a plugin finds in
 * Fluent Bit's binary: 2 all of them, 1 the log alone, as in old versions, 0 none.
 *
 * Requests and answers are frames: a length (u32), then that many bytes, in the
 * machine's order. Request: operation (u8), its number (u32), arguments.
 * Answer: number of the request (u32), result (i32), text. Strings in requests
 * are a length (u32) and the bytes. Descriptor 3 is the log.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SYMBOLS
#define SYMBOLS 2
#endif

#define MAX_PLUGINS    16
#define MAX_INSTANCES  4096
#define MAX_WORKERS    64
#define MAX_OPTIONS    128
#define MAX_METRICS    64
#define MAX_SERIES     32

/* flb_coro.h: FLB_CORO_STACK_SIZE_MIN_BYTE */
#define CORO_STACK (64 * 1024)

/* ---- Fluent Bit's structs ------------------------------------------------ */

struct flb_output_instance;

/* include/fluent-bit/flb_api.h */
struct flb_api {
    const char *(*output_get_property)(const char *, struct flb_output_instance *);
    const char *(*input_get_property)(const char *, void *);
    void *(*output_get_cmt_instance)(struct flb_output_instance *);
    void *(*input_get_cmt_instance)(void *);
    void (*log_print)(int, const char *, int, const char *, ...);
    int (*input_log_check)(void *, int);
    int (*output_log_check)(struct flb_output_instance *, int);
    const char *(*custom_get_property)(const char *, void *);
    int (*custom_log_check)(void *, int);
};

/* include/fluent-bit/flb_plugin_proxy.h */
struct flb_plugin_proxy_def {
    int type;
    int proxy;
    int flags;
    char *name;
    char *description;
    int event_type;
    void *config_map;
};

struct flb_plugin_proxy_context {
    void *remote_context;
    void *proxy;
};

/* src/proxy/go/go.h */
struct flbgo_output_plugin {
    char *name;
    void *api;
    void *o_ins;
    struct flb_plugin_proxy_context *context;

    int (*cb_init)(struct flbgo_output_plugin *);
    int (*cb_flush)(const void *, size_t, const char *);
    int (*cb_flush_ctx)(void *, const void *, size_t, char *);
    int (*cb_exit)(void);
    int (*cb_exit_ctx)(void *);
};

/* lib/monkey/include/monkey/mk_core/mk_list.h */
struct mk_list {
    struct mk_list *prev, *next;
};

/* include/fluent-bit/flb_kv.h */
struct flb_kv {
    char *key;
    char *val;
    struct mk_list _head;
};

/* ---- ours ---------------------------------------------------------------- */

struct job { /* one request that goes to a thread */
    struct job *next;
    uint8_t op;
    uint32_t number;
    char *args;  /* of the frame, allocated */
    size_t left; /* bytes of args not read yet */
    char *at;    /* the next of them */
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *first, *last;
};

struct plugin {
    void *handle;
    struct flb_plugin_proxy_def *def; /* allocated, as by Fluent Bit: plugins may ask for its size */
    struct flbgo_output_plugin go;
};

struct series {
    double value;
    int labels;
    char *label[2];
};

struct metric {
    int gauge;
    char *name;
    int labels;
    struct series series[MAX_SERIES];
    int n;
};

struct cmt {
    struct metric *metrics[MAX_METRICS];
    int n;
};

struct flb_output_instance {
    struct plugin *plugin;
    struct flb_plugin_proxy_context context;
    char name[64];
    struct mk_list properties;
    int log_level;
    struct cmt cmt;
    int started;          /* no more metrics may be made */
    int workers;
    pthread_t worker[MAX_WORKERS];
    struct queue queue[MAX_WORKERS];
    int next;             /* whose turn it is: src/flb_output_thread.c, flb_output_thread_pool_flush */
};

static struct plugin plugins[MAX_PLUGINS];
static int n_plugins;
static struct flb_output_instance *instances[MAX_INSTANCES];
static int n_instances;
static int made; /* instances that ever started: Fluent Bit numbers them over all plugins */
static int service_level = 3;
static int guard_chunks = 1;
static struct queue main_queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL};
static pthread_mutex_t answer_lock = PTHREAD_MUTEX_INITIALIZER;

/* Set on the threads that Fluent Bit would have made: only those reach its
   log, see src/flb_log.c, flb_log_print. */
static __thread int ours;

static void die(const char *what)
{
    fprintf(stderr, "host: %s\n", what);
    _exit(70);
}

static void *must(void *p)
{
    if (p == NULL) {
        die("out of memory");
    }
    return p;
}

/* ---- the log ------------------------------------------------------------- */

static void vlog(int level, const char *format, va_list args)
{
    static const char *names[] = {"help", "error", "warn", "info", "debug", "trace"};
    char line[4096];
    struct timespec now;
    struct tm tm;
    int n;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    n = snprintf(line, sizeof(line), "[%i/%02i/%02i %02i:%02i:%02i.%03ld] [%5s] ",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 now.tv_nsec / 1000000, names[level >= 1 && level <= 5 ? level : 0]);
    n += vsnprintf(line + n, sizeof(line) - (size_t) n - 1, format, args);
    if (n > (int) sizeof(line) - 2) {
        n = sizeof(line) - 2;
    }
    line[n++] = '\n';
    if (write(ours ? 3 : STDERR_FILENO, line, (size_t) n) != n) {
        _exit(71); /* nobody reads: so nobody drives either */
    }
}

#if SYMBOLS >= 1
void flb_log_print(int level, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

void flb_log_print(int level, const char *file, int line, const char *format, ...)
{
    va_list args;

    (void) file;
    (void) line;
    va_start(args, format);
    vlog(level, format, args);
    va_end(args);
}
#endif

static void say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(int level, const char *format, ...)
{
    va_list args;

    if (level > service_level) {
        return;
    }
    va_start(args, format);
    vlog(level, format, args);
    va_end(args);
}

/* ---- what a plugin may ask of an instance -------------------------------- */

static struct flb_kv *kv_of(struct mk_list *head)
{
    return (struct flb_kv *) ((char *) head - offsetof(struct flb_kv, _head));
}

static const char *property(const char *key, struct flb_output_instance *ins)
{
    struct mk_list *head;
    struct flb_kv *kv;

    for (head = ins->properties.next; head != &ins->properties; head = head->next) {
        kv = kv_of(head);
        if (strcasecmp(key, kv->key) == 0) {
            return kv->val;
        }
    }
    return NULL;
}

/* flb_kv_item_create */
static void add_property(struct flb_output_instance *ins, char *key, char *value)
{
    struct flb_kv *kv = must(calloc(1, sizeof(*kv)));

    kv->key = key;
    kv->val = value;
    kv->_head.prev = ins->properties.prev;
    kv->_head.next = &ins->properties;
    ins->properties.prev->next = &kv->_head;
    ins->properties.prev = &kv->_head;
}

#if SYMBOLS >= 2
/* src/fluent-bit.c: the signal that told it to end */
volatile sig_atomic_t exit_signal;

int flb_output_log_check(struct flb_output_instance *ins, int level);
const char *flb_output_name(struct flb_output_instance *ins);
void *flb_output_get_cmt_instance(struct flb_output_instance *ins);
void *cmt_counter_create(struct cmt *cmt, char *ns, char *subsystem, char *name, char *help,
                         int labels, char **keys);
void *cmt_gauge_create(struct cmt *cmt, char *ns, char *subsystem, char *name, char *help,
                       int labels, char **keys);
int cmt_counter_set(struct metric *m, uint64_t timestamp, double value, int labels, char **values);
int cmt_gauge_set(struct metric *m, uint64_t timestamp, double value, int labels, char **values);

int flb_output_log_check(struct flb_output_instance *ins, int level)
{
    return ins->log_level >= level;
}

const char *flb_output_name(struct flb_output_instance *ins)
{
    return ins->name;
}

void *flb_output_get_cmt_instance(struct flb_output_instance *ins)
{
    return &ins->cmt;
}

static struct flb_output_instance *owner(struct cmt *cmt)
{
    return (struct flb_output_instance *) ((char *) cmt - offsetof(struct flb_output_instance, cmt));
}

static void *create(struct cmt *cmt, int gauge, char *ns, char *subsystem, char *name, char *help,
                    int labels)
{
    struct metric *m;

    /* What cmetrics refuses, and what it would not survive. */
    if (ns == NULL || subsystem == NULL || name == NULL || *name == 0 || help == NULL || *help == 0 ||
        labels > 2 || cmt->n == MAX_METRICS) {
        return NULL;
    }
    if (owner(cmt)->started) {
        die("a metric was made after the start");
    }
    m = must(calloc(1, sizeof(*m)));
    m->gauge = gauge;
    m->labels = labels;
    if (asprintf(&m->name, "%s_%s_%s", ns, subsystem, name) < 0) {
        die("out of memory");
    }
    cmt->metrics[cmt->n++] = m;
    return m;
}

void *cmt_counter_create(struct cmt *cmt, char *ns, char *subsystem, char *name, char *help,
                         int labels, char **keys)
{
    (void) keys;
    return create(cmt, 0, ns, subsystem, name, help, labels);
}

void *cmt_gauge_create(struct cmt *cmt, char *ns, char *subsystem, char *name, char *help,
                       int labels, char **keys)
{
    (void) keys;
    return create(cmt, 1, ns, subsystem, name, help, labels);
}

/* Fluent Bit's own cmetrics takes no lock for the value, and older ones none
   for finding it. So a new series is for the main thread only. */
static pthread_mutex_t series_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread int is_main;

static int set(struct metric *m, double value, int labels, char **values)
{
    struct series *s;
    int i, j, result = 0;

    if (labels != m->labels) {
        return -1;
    }
    if (!ours) {
        die("a metric was set on a thread that is not Fluent Bit's");
    }
    pthread_mutex_lock(&series_lock);
    for (i = 0; i < m->n; i++) {
        s = &m->series[i];
        for (j = 0; j < labels && strcmp(s->label[j], values[j]) == 0; j++) {
        }
        if (j == labels) {
            break;
        }
    }
    s = &m->series[i];
    if (i == m->n) {
        if (!is_main || m->n == MAX_SERIES) {
            die("a combination of labels was made after the start");
        }
        m->n++;
        s->labels = labels;
        for (j = 0; j < labels; j++) {
            s->label[j] = must(strdup(values[j]));
        }
    }
    else if (value == s->value) {
        die("a metric was set to what it was, which takes a look at all its labels");
    }
    else if (!m->gauge && value < s->value) {
        say(1, "[cmetrics] attempting to reset unresetable counter: %s", m->name);
        result = -1;
    }
    if (result == 0) {
        s->value = value;
    }
    pthread_mutex_unlock(&series_lock);
    return result;
}

int cmt_counter_set(struct metric *m, uint64_t timestamp, double value, int labels, char **values)
{
    (void) timestamp;
    return set(m, value, labels, values);
}

int cmt_gauge_set(struct metric *m, uint64_t timestamp, double value, int labels, char **values)
{
    (void) timestamp;
    return set(m, value, labels, values);
}
#endif

static void destroy_metrics(struct cmt *cmt)
{
    int i, j, k;

    for (i = 0; i < cmt->n; i++) {
        struct metric *m = cmt->metrics[i];
        for (j = 0; j < m->n; j++) {
            for (k = 0; k < m->series[j].labels; k++) {
                free(m->series[j].label[k]);
            }
        }
        free(m->name);
        free(m);
    }
    cmt->n = 0;
}

static struct flb_api api = {
    .output_get_property = property,
};

/* ---- requests and answers ------------------------------------------------ */

static void write_all(const void *data, size_t n)
{
    const char *p = data;

    while (n > 0) {
        ssize_t w = write(STDOUT_FILENO, p, n);
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w <= 0) {
            _exit(71);
        }
        p += w;
        n -= (size_t) w;
    }
}

static void answer(struct job *job, int32_t result, const char *text)
{
    size_t n = strlen(text);
    uint32_t length = (uint32_t) (8 + n);

    pthread_mutex_lock(&answer_lock);
    write_all(&length, 4);
    write_all(&job->number, 4);
    write_all(&result, 4);
    write_all(text, n);
    pthread_mutex_unlock(&answer_lock);
}

static uint32_t read_number(struct job *job)
{
    uint32_t v;

    if (job->left < 4) {
        die("a request is too short");
    }
    memcpy(&v, job->at, 4);
    job->at += 4;
    job->left -= 4;
    return v;
}

/* Returns the bytes where they lie in the request. */
static char *read_bytes(struct job *job, size_t *n)
{
    char *s;

    *n = read_number(job);
    s = job->at;
    if (job->left < *n) {
        die("a request is too short");
    }
    job->at += *n;
    job->left -= *n;
    return s;
}

/* Returns a copy of its own. */
static char *read_string(struct job *job)
{
    size_t n;
    char *s = read_bytes(job, &n);

    return must(strndup(s, n));
}

static void put(struct queue *q, struct job *job)
{
    pthread_mutex_lock(&q->lock);
    job->next = NULL;
    if (q->first == NULL) {
        q->first = job;
    }
    else {
        q->last->next = job;
    }
    q->last = job;
    pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

static struct job *get(struct queue *q)
{
    struct job *job;

    pthread_mutex_lock(&q->lock);
    while (q->first == NULL) {
        pthread_cond_wait(&q->filled, &q->lock);
    }
    job = q->first;
    q->first = job->next;
    pthread_mutex_unlock(&q->lock);
    return job;
}

static void done(struct job *job)
{
    free(job->args);
    free(job);
}

/* ---- what the requests ask for ------------------------------------------- */

static void *symbol(void *handle, const char *name)
{
    void *s;

    dlerror();
    s = dlsym(handle, name);
    return dlerror() == NULL ? s : NULL;
}

/* A function pointer, by way of memory: ISO C has no such cast. */
#define LOOK_UP(var, handle, name) (*(void **) &(var) = symbol(handle, name))

/* flb_plugin_proxy_create, flb_plugin_proxy_register, proxy_go_output_register */
static void load(struct job *job)
{
    struct plugin *p = &plugins[n_plugins];
    char *path = read_string(job);
    int linked = strncmp(path, "linked:", 7) == 0; /* see build.go, compile */
    const char *name = path + 7;
    int (*pre_register)(int);
    int (*reg)(struct flb_plugin_proxy_def *);
    int (*reg_as)(struct flb_plugin_proxy_def *, const char *, const char *);
    int result;

    if (n_plugins == MAX_PLUGINS) {
        die("too many plugins");
    }
    memset(p, 0, sizeof(*p));
    p->handle = dlopen(linked ? NULL : path, RTLD_LAZY);
    if (p->handle == NULL) {
        free(path);
        answer(job, -1, dlerror());
        return;
    }
    p->def = must(calloc(1, sizeof(*p->def)));
    p->def->type = 2; /* FLB_PROXY_OUTPUT_PLUGIN */
    LOOK_UP(pre_register, p->handle, "FLBPluginPreRegister");
    if (pre_register != NULL && pre_register(0) == -1) {
        free(path);
        answer(job, -1, "FLBPluginPreRegister failed");
        return;
    }
    if (linked) {
        LOOK_UP(reg_as, p->handle, "aws_for_fluent_bit_register");
        result = reg_as == NULL ? -1 : reg_as(p->def, name, "linked into the host");
    }
    else {
        LOOK_UP(reg, p->handle, "FLBPluginRegister");
        result = reg == NULL ? -1 : reg(p->def);
    }
    free(path);
    if (result == -1) {
        answer(job, -1, "FLBPluginRegister is missing or failed");
        return;
    }
    if (p->def->proxy != 11 || p->def->name == NULL || p->def->description == NULL) {
        answer(job, -1, "FLBPluginRegister did not fill in the definition");
        return;
    }
    LOOK_UP(p->go.cb_init, p->handle, "FLBPluginInit");
    LOOK_UP(p->go.cb_flush, p->handle, "FLBPluginFlush");
    LOOK_UP(p->go.cb_flush_ctx, p->handle, "FLBPluginFlushCtx");
    LOOK_UP(p->go.cb_exit, p->handle, "FLBPluginExit");
    LOOK_UP(p->go.cb_exit_ctx, p->handle, "FLBPluginExitCtx");
    if (p->go.cb_init == NULL || (p->go.cb_flush == NULL && p->go.cb_flush_ctx == NULL)) {
        answer(job, -1, "FLBPluginInit or the flush function is missing");
        return;
    }
    p->go.name = must(strdup(p->def->name));
    answer(job, n_plugins++, p->def->name);
}

struct flush_call {
    struct flb_output_instance *ins;
    const void *data;
    size_t size;
    char *tag;
    int result;
    ucontext_t caller, coroutine;
};

/* proxy_go_output_flush */
static void flush_here(struct flush_call *c)
{
    struct flbgo_output_plugin *go = &c->ins->plugin->go;

    if (go->cb_flush_ctx != NULL) {
        c->result = go->cb_flush_ctx(c->ins->context.remote_context, c->data, c->size, c->tag);
    }
    else {
        c->result = go->cb_flush(c->data, c->size, c->tag);
    }
}

static void coroutine(unsigned int high, unsigned int low)
{
    flush_here((struct flush_call *) (((uintptr_t) high << 32) | low));
}

/* Every flush of Fluent Bit runs on a small stack from malloc (flb_output.h,
   flb_output_flush_create). ThreadSanitizer cannot follow that. */
static void flush_on_coroutine(struct flush_call *c)
{
#ifdef PLAIN_STACKS
    (void) coroutine;
    flush_here(c);
#else
    char *stack = must(malloc(CORO_STACK));

    getcontext(&c->coroutine);
    c->coroutine.uc_stack.ss_sp = stack;
    c->coroutine.uc_stack.ss_size = CORO_STACK;
    c->coroutine.uc_link = &c->caller;
    makecontext(&c->coroutine, (void (*)(void)) coroutine, 2, (unsigned int) ((uintptr_t) c >> 32),
                (unsigned int) (uintptr_t) c);
    swapcontext(&c->caller, &c->coroutine);
    free(stack);
#endif
}

static void flush(struct job *job)
{
    struct flush_call c;
    size_t page = (size_t) sysconf(_SC_PAGESIZE), mapped = 0;
    char *data, *area = NULL;

    memset(&c, 0, sizeof(c));
    c.ins = instances[read_number(job)];
    c.tag = read_string(job);
    data = read_bytes(job, &c.size);

    if (guard_chunks) {
        /* The chunk ends where readable memory ends, cannot be written to, and
           is gone when the flush returns: reading past its end, changing it or
           keeping it is a crash, not luck. */
        mapped = (c.size + 2 * page - 1) / page * page;
        area = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED || mprotect(area + mapped - page, page, PROT_NONE) != 0) {
            die("cannot map a chunk");
        }
        c.data = memcpy(area + mapped - page - c.size, data, c.size);
        if (mprotect(area, mapped - page, PROT_READ) != 0) {
            die("cannot protect a chunk");
        }
    }
    else {
        c.data = data;
    }

    flush_on_coroutine(&c);

    if (guard_chunks) {
        munmap(area, mapped);
    }
    free(c.tag);
    answer(job, c.result, "");
}

/* src/flb_output_thread.c, output_thread */
static void *worker(void *data)
{
    struct queue *queue = data;
    struct job *job;

    ours = 1;
    for (;;) {
        job = get(queue);
        if (job->op == 0) {
            free(job);
            return NULL;
        }
        flush(job);
        done(job);
    }
}

static int level_of(const char *name)
{
    static const char *names[] = {"off", "error", "warn", "info", "debug", "trace"};
    int i;

    for (i = 0; i < 6; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return i;
        }
    }
    return service_level;
}

static void destroy(struct flb_output_instance *ins)
{
    struct mk_list *head;
    struct flb_kv *kv;

    while ((head = ins->properties.next) != &ins->properties) {
        kv = kv_of(head);
        ins->properties.next = head->next;
        free(kv->key);
        free(kv->val);
        free(kv);
    }
    destroy_metrics(&ins->cmt);
    memset(ins, 0xdb, sizeof(*ins)); /* so that a later look at it is noticed */
    free(ins);
}

/* flb_output_new, flb_proxy_output_cb_init, proxy_go_output_init */
static void init(struct job *job)
{
    struct flb_output_instance *ins = must(calloc(1, sizeof(*ins)));
    struct plugin *p = &plugins[read_number(job)];
    uint32_t n, i;
    char *key, *value;
    int result;

    ins->plugin = p;
    ins->properties.prev = ins->properties.next = &ins->properties;
    ins->context.proxy = p;
    ins->log_level = service_level;
    ins->workers = (int) read_number(job);
    snprintf(ins->name, sizeof(ins->name), "%s.%d", p->def->name, made);
    n = read_number(job);
    if (ins->workers > MAX_WORKERS || n > MAX_OPTIONS || n_instances == MAX_INSTANCES) {
        die("too many workers, options or instances");
    }
    for (i = 0; i < n; i++) {
        key = read_string(job);
        value = read_string(job);
        /* These never reach a plugin (src/flb_output.c, flb_output_set_property). */
        if (strcasecmp(key, "alias") == 0) {
            snprintf(ins->name, sizeof(ins->name), "%s", value);
        }
        else if (strcasecmp(key, "log_level") == 0) {
            ins->log_level = level_of(value);
        }
        else {
            add_property(ins, key, value);
            continue;
        }
        free(key);
        free(value);
    }

    /* The struct is the plugin's, not the instance's. */
    p->go.api = &api;
    p->go.o_ins = ins;
    p->go.context = &ins->context;
    result = p->go.cb_init(&p->go);
    if (result <= 0) {
        say(1, "[go proxy]: plugin '%s' failed to initialize", p->go.name);
        destroy(ins);
        answer(job, -1, "the plugin refuses to start");
        return;
    }
    made++;
    ins->started = 1;
    for (i = 0; i < (uint32_t) ins->workers; i++) {
        pthread_mutex_init(&ins->queue[i].lock, NULL);
        pthread_cond_init(&ins->queue[i].filled, NULL);
        if (pthread_create(&ins->worker[i], NULL, worker, &ins->queue[i]) != 0) {
            die("cannot start a worker");
        }
    }
    /* An index is used again: 100,000 rounds of init and exit fit. */
    for (i = 0; i < (uint32_t) n_instances && instances[i] != NULL; i++) {
    }
    if (i == (uint32_t) n_instances) {
        n_instances++;
    }
    instances[i] = ins;
    answer(job, (int32_t) i, "");
}

/* flb_output_exit, flb_proxy_output_cb_exit, proxy_go_output_destroy */
static void leave(struct job *job)
{
    uint32_t index = read_number(job);
    struct flb_output_instance *ins = instances[index];
    int reloading = (int) read_number(job);
    void (*pre_exit)(int);
    int i, result = 0;

    for (i = 0; i < ins->workers; i++) {
        put(&ins->queue[i], must(calloc(1, sizeof(struct job))));
    }
    for (i = 0; i < ins->workers; i++) {
        pthread_join(ins->worker[i], NULL);
    }
    LOOK_UP(pre_exit, ins->plugin->handle, "FLBPluginOutputPreExit");
    if (pre_exit != NULL) {
        pre_exit(reloading);
    }
    if (ins->plugin->go.cb_exit_ctx != NULL) {
        result = ins->plugin->go.cb_exit_ctx(ins->context.remote_context);
    }
    else if (ins->plugin->go.cb_exit != NULL) {
        result = ins->plugin->go.cb_exit();
    }
    instances[index] = NULL;
    destroy(ins);
    answer(job, result, "");
}

/* flb_proxy_output_cb_destroy */
static void unload(struct job *job)
{
    struct plugin *p = &plugins[read_number(job)];
    void (*unregister)(struct flb_plugin_proxy_def *);

    LOOK_UP(unregister, p->handle, "FLBPluginUnregister");
    if (unregister != NULL) {
        unregister(p->def);
    }
    free(p->go.name);
    dlclose(p->handle);
    memset(p, 0, sizeof(*p));
    answer(job, 0, "");
}

/* One series a line: name, labels and value, divided by tabs. */
static void metrics(struct job *job)
{
    struct cmt *cmt = &instances[read_number(job)]->cmt;
    char *text = NULL;
    size_t size;
    FILE *out = must(open_memstream(&text, &size));
    int i, j, k;

    for (i = 0; i < cmt->n; i++) {
        struct metric *m = cmt->metrics[i];
        for (j = 0; j < m->n; j++) {
            fprintf(out, "%s", m->name);
            for (k = 0; k < m->series[j].labels; k++) {
                fprintf(out, "\t%s", m->series[j].label[k]);
            }
            fprintf(out, "\t%.0f\n", m->series[j].value);
        }
    }
    fclose(out);
    answer(job, cmt->n, text);
    free(text);
}

/* A context that no plugin gave out. */
static void stranger(struct job *job)
{
    struct plugin *p = &plugins[read_number(job)];
    char tag[] = "stranger";
    char text[64];

    snprintf(text, sizeof(text), "%d %d", p->go.cb_flush_ctx((void *) 0xabcdef, "", 0, tag),
             p->go.cb_exit_ctx(NULL));
    answer(job, 0, text);
}

/* ---- threads ------------------------------------------------------------- */

static int read_all(void *data, size_t n)
{
    char *p = data;

    while (n > 0) {
        ssize_t r = read(STDIN_FILENO, p, n);
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r <= 0) {
            return -1;
        }
        p += r;
        n -= (size_t) r;
    }
    return 0;
}

/* The reader is neither the engine nor a worker: it brings requests to the
   threads that are to do them, and ends the process when its driver is gone,
   whatever hangs. */
static void *reader(void *unused)
{
    uint32_t length, index;
    struct job *job;
    struct flb_output_instance *ins;

    (void) unused;
    for (;;) {
        if (read_all(&length, 4) != 0) {
            _exit(0);
        }
        if (length < 5) {
            die("a request is too short");
        }
        job = must(calloc(1, sizeof(*job)));
        job->args = must(malloc(length));
        if (read_all(job->args, length) != 0) {
            _exit(0);
        }
        job->op = (uint8_t) job->args[0];
        memcpy(&job->number, job->args + 1, 4);
        job->at = job->args + 5;
        job->left = length - 5;
        if (job->op == 'F' && job->left >= 4) {
            memcpy(&index, job->at, 4);
            ins = index < MAX_INSTANCES ? instances[index] : NULL;
            if (ins == NULL) {
                die("flush of an instance that is not there");
            }
            if (ins->workers > 0) {
                put(&ins->queue[ins->next], job);
                ins->next = (ins->next + 1) % ins->workers;
                continue;
            }
        }
        put(&main_queue, job);
    }
}

/* src/fluent-bit.c, flb_signal_handler */
static void crash(int signal)
{
    (void) signal;
    abort();
}

int main(int argc, char **argv)
{
    pthread_t thread;
    struct job *job;
    int i;

    ours = 1;
#if SYMBOLS >= 2
    is_main = 1;
    api.output_get_cmt_instance = flb_output_get_cmt_instance;
    api.output_log_check = flb_output_log_check;
#endif
#if SYMBOLS >= 1
    api.log_print = flb_log_print;
#endif
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "unguarded") == 0) {
            guard_chunks = 0;
        }
        else {
            service_level = level_of(argv[i]);
        }
    }
    signal(SIGPIPE, SIG_IGN); /* src/flb_config.c */
    if (pthread_create(&thread, NULL, reader, NULL) != 0) {
        die("cannot start the reader");
    }
    for (;;) {
        job = get(&main_queue);
        switch (job->op) {
        case 'L':
            load(job);
            break;
        case 'I':
            init(job);
            break;
        case 'F':
            flush(job);
            break;
        case 'X':
            leave(job);
            break;
        case 'U':
            unload(job);
            break;
        case 'M':
            metrics(job);
            break;
        case '?':
            stranger(job);
            break;
        case 'S':
            /* What Fluent Bit does at a SIGCONT and a SIGHUP (src/fluent-bit.c). */
            signal(SIGSEGV, crash);
            signal(SIGFPE, crash);
            answer(job, 0, "");
            break;
        case 'E':
#if SYMBOLS >= 2
            exit_signal = SIGTERM;
#endif
            answer(job, 0, "");
            break;
        case 'Q':
            answer(job, 0, "");
            return 0;
        default:
            die("unknown request");
        }
        done(job);
    }
}
