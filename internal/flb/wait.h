/*
 * Flushes that wait in their coroutine, as Fluent Bit's own outputs do, and leave
 * their thread to others meanwhile. See wait.c.
 */
#ifndef AWS_FLB_WAIT_H
#define AWS_FLB_WAIT_H

#include <stddef.h>
#include <stdint.h>

struct flb_loop;

/* A flush that is under way; it lies on its coroutine's stack. */
struct flb_flush {
    struct flb_loop *loop; /* of its thread */
    void *self;            /* its coroutine, to libco */
    void *coro;            /* and to Fluent Bit */
    uintptr_t context;     /* of its output; as the next three, what Fluent Bit called with */
    void *data;
    size_t size;
    char *tag;
    int result;
    struct flb_flush *next; /* in one of the loop's queues */
};

/* flb_flush_ended has a flush resumed by its thread. It must not be touched after. */
void flb_flush_ended(struct flb_flush *flush, int result);

/* flb_loop_wake has the loop's thread call aws_for_fluent_bit_turn. */
void flb_loop_wake(struct flb_loop *loop);

#endif
