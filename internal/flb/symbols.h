/*
 * Fluent Bit's own functions, called from inside its process.
 *
 * Its binary exports its symbols. They are looked up once, by name; what is
 * not there is not called. The struct layouts below are of Fluent Bit 5.1.1
 * and have been the same since Go plugins got a context (1.1).
 */
#ifndef AWS_FLB_SYMBOLS_H
#define AWS_FLB_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

struct flb_output_instance;

/* struct flbgo_output_plugin, src/proxy/go/go.h: what FLBPluginInit gets. */
struct go_plugin {
    char *name;
    void *api;
    struct flb_output_instance *instance;
    struct go_context *context;
};

/* struct flb_plugin_proxy_context, include/fluent-bit/flb_plugin_proxy.h.
   remote_context is handed to every flush and to exit; any value will do. */
struct go_context {
    uintptr_t remote_context;
};

/* struct flb_plugin_proxy_def, include/fluent-bit/flb_plugin_proxy.h: what
   FLBPluginRegister gets. Since 5.0 and some 4.2 it has the last member. */
struct proxy_def {
    int type, proxy, flags;
    char *name;
    char *description;
    int event_type;
};

/* One value on Fluent Bit's metrics endpoint. */
struct metric {
    void *handle;        /* struct cmt_counter or cmt_gauge; NULL: not shown */
    int gauge;
    int labels;          /* 1 or 2 of the following */
    char *label_value[2];
    int set;             /* to last */
    double last;
};

/* flb_resolve looks the symbols up. To be called once before all others. */
void flb_resolve(void);

/* flb_can_print says whether flb_print can be called. */
int flb_can_print(void);
void flb_print(int level, const char *line);

/* flb_level returns the instance's log level, -1 when it cannot be told. */
int flb_level(struct flb_output_instance *ins);

/* flb_name returns the instance's alias or name, NULL when it cannot be told. */
const char *flb_name(struct flb_output_instance *ins);

/* flb_property returns the value of an option as Fluent Bit has it, NULL when
   there is none. */
const char *flb_property(const struct go_plugin *plugin, const char *key);

/* flb_ask_for_metrics has Fluent Bit hand a plugin metrics besides records, and
   says whether it could: before event_type there was, the memory that it is to
   be written to may belong to something else. The allocator knows. */
int flb_ask_for_metrics(struct proxy_def *def);

/* flb_metrics returns the instance's struct cmt, NULL when there is none. */
void *flb_metrics(struct flb_output_instance *ins);
void *flb_metric_create(void *cmt, int gauge, char *name, char *help, int labels);
void flb_metrics_set(struct metric *metrics, const double *values, int n);

/* flb_ending says whether a signal told Fluent Bit to end, which it notes in
   exit_signal (src/fluent-bit.c); -1 when that cannot be told. */
int flb_ending(void);

/*
 * flb_keep_signals notes who handles SIGSEGV and SIGFPE when first called, and
 * later sees to it that they still do.
 *
 * By then it is the Go runtime, which makes a panic of a fault in Go code and
 * passes any other on to the handler it found, Fluent Bit's. But Fluent Bit takes
 * both signals for itself again whenever it handles a SIGHUP or a SIGCONT
 * (src/fluent-bit.c, flb_signal_handler), and from then on a nil pointer in Go
 * would end the process instead of being recovered.
 */
void flb_keep_signals(void);

/*
 * flb_forget_pages takes the library's own code and constants out of this
 * process's resident memory, into which loading and starting brought nearly all
 * of them, and the first calls much: relocations are read once, most code never
 * runs, or no more. What is used comes back by page faults, from the page cache.
 * The segments that are written to are left alone; the others are the file's to
 * the last byte, since the library is linked with -z text.
 */
void flb_forget_pages(void);

#endif
