#define _GNU_SOURCE
#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "symbols.h"

static void (*log_print)(int, const char *, int, const char *, ...);
static int (*output_log_check)(struct flb_output_instance *, int);
static const char *(*output_name)(struct flb_output_instance *);
static void *(*output_get_cmt_instance)(struct flb_output_instance *);

static volatile sig_atomic_t *exit_signal;

typedef void *(*create_fn)(void *cmt, char *ns, char *subsystem, char *name, char *help,
                           int labels, char **keys);
typedef int (*set_fn)(void *metric, uint64_t timestamp, double value, int labels, char **values);

static create_fn counter_create, gauge_create;
static set_fn counter_set, gauge_set;

/* Where to look: in the process, which on Windows means Fluent Bit's program. */
#ifdef _WIN32
#define SYMBOL(name) ((void *) GetProcAddress(GetModuleHandleA(NULL), name))
#else
#define SYMBOL(name) dlsym(RTLD_DEFAULT, name)
#endif

/* look up NAME into the function pointer VAR. Through a void * in memory, since
   ISO C has no cast from an object pointer to a function pointer. */
#define LOOK_UP(var, name) (*(void **) &(var) = SYMBOL(name))

void flb_resolve(void)
{
    LOOK_UP(log_print, "flb_log_print");
    LOOK_UP(output_log_check, "flb_output_log_check");
    LOOK_UP(output_name, "flb_output_name");
    LOOK_UP(output_get_cmt_instance, "flb_output_get_cmt_instance");
    LOOK_UP(counter_create, "cmt_counter_create");
    LOOK_UP(counter_set, "cmt_counter_set");
    LOOK_UP(gauge_create, "cmt_gauge_create");
    LOOK_UP(gauge_set, "cmt_gauge_set");
    exit_signal = SYMBOL("exit_signal");
}

int flb_ending(void)
{
    return exit_signal == NULL ? -1 : *exit_signal != 0;
}

int flb_can_print(void)
{
    return log_print != NULL;
}

void flb_print(int level, const char *line)
{
    /* Always "%s": a line may hold a per cent sign. */
    log_print(level, NULL, 0, "%s", line);
}

int flb_level(struct flb_output_instance *ins)
{
    int level;

    if (output_log_check == NULL) {
        return -1;
    }
    /* 5 is trace, 1 is error, 0 is off (include/fluent-bit/flb_log.h). */
    for (level = 5; level > 0; level--) {
        if (output_log_check(ins, level)) {
            break;
        }
    }
    return level;
}

const char *flb_name(struct flb_output_instance *ins)
{
    return output_name == NULL ? NULL : output_name(ins);
}

/* struct flb_api, include/fluent-bit/flb_api.h: the first of its functions. */
struct api {
    const char *(*output_get_property)(const char *, struct flb_output_instance *);
};

const char *flb_property(const struct go_plugin *plugin, const char *key)
{
    return ((const struct api *) plugin->api)->output_get_property(key, plugin->instance);
}

int flb_ask_for_metrics(struct proxy_def *def)
{
#ifdef _WIN32
    return 0; /* nothing tells the size of what another module allocated */
#else
    size_t (*usable_size)(void *);
    void *allocate = SYMBOL("calloc");
    Dl_info of_size, of_calloc;

    LOOK_UP(usable_size, "malloc_usable_size");
    /* Both of the same allocator: jemalloc's, say, cannot tell of the C library's. */
    if (usable_size == NULL || allocate == NULL ||
        dladdr(*(void **) &usable_size, &of_size) == 0 || dladdr(allocate, &of_calloc) == 0 ||
        of_size.dli_fbase != of_calloc.dli_fbase ||
        usable_size(def) < offsetof(struct proxy_def, event_type) + sizeof(def->event_type)) {
        return 0;
    }
    def->event_type = 1 | 2; /* FLB_OUTPUT_LOGS, FLB_OUTPUT_METRICS (include/fluent-bit/flb_output.h) */
    return 1;
#endif
}

void *flb_metrics(struct flb_output_instance *ins)
{
    if (output_get_cmt_instance == NULL || counter_create == NULL || counter_set == NULL ||
        gauge_create == NULL || gauge_set == NULL) {
        return NULL;
    }
    return output_get_cmt_instance(ins);
}

void *flb_metric_create(void *cmt, int gauge, char *name, char *help, int labels)
{
    char *keys[2] = {"name", "reason"};

    return (gauge ? gauge_create : counter_create)(cmt, "fluentbit", "aws", name, help, labels, keys);
}

void flb_metrics_set(struct metric *metrics, const double *values, int n)
{
    struct timespec now;
    uint64_t timestamp;
    int i;

    timespec_get(&now, TIME_UTC);
    timestamp = (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
    for (i = 0; i < n; i++) {
        struct metric *m = &metrics[i];
        if (m->handle == NULL || (m->set && m->last == values[i])) {
            continue; /* to look one up takes a hash of its labels */
        }
        (m->gauge ? gauge_set : counter_set)(m->handle, timestamp, values[i], m->labels, m->label_value);
        m->set = 1;
        m->last = values[i];
    }
}

#ifdef _WIN32

/* Go hears of faults by vectored exception handlers there, which nobody takes. */
void flb_keep_signals(void)
{
}

/* Windows trims working sets by itself. */
void flb_forget_pages(void)
{
}

#else

static const int kept[] = {SIGSEGV, SIGFPE};

void flb_keep_signals(void)
{
    static struct sigaction ours[2];
    static int noted;
    struct sigaction now;
    size_t i;

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (!noted) {
            sigaction(kept[i], NULL, &ours[i]);
            continue;
        }
        if (sigaction(kept[i], NULL, &now) == 0 && now.sa_sigaction != ours[i].sa_sigaction) {
            sigaction(kept[i], &ours[i], NULL);
        }
    }
    noted = 1;
}

#endif
