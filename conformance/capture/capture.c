/*
 * An output plugin for Fluent Bit that keeps every chunk it is given in a file
 * of its own, as it came: CAPTURE_DIR/000-TAG.msgpack and so on.
 *
 * It plays a Go plugin, by the structs of Fluent Bit's include/fluent-bit/
 * flb_plugin_proxy.h, since that is the interface whose chunks are wanted. One
 * instance, without workers.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flb_plugin_proxy_def {
    int type;
    int proxy;
    int flags;
    char *name;
    char *description;
};

int FLBPluginRegister(struct flb_plugin_proxy_def *def)
{
    def->type = 2;   /* FLB_PROXY_OUTPUT_PLUGIN */
    def->proxy = 11; /* FLB_PROXY_GOLANG */
    def->flags = 0;
    def->name = strdup("capture"); /* kept for as long as Fluent Bit runs */
    def->description = strdup("keeps chunks in files");
    return 0;
}

int FLBPluginInit(void *plugin)
{
    (void) plugin;
    return getenv("CAPTURE_DIR") != NULL; /* 1 is good */
}

int FLBPluginFlush(const void *data, int size, const char *tag)
{
    static int count;
    char path[4096];
    FILE *f;
    int good;

    if (snprintf(path, sizeof(path), "%s/%03d-%s.msgpack", getenv("CAPTURE_DIR"), count, tag) >= (int) sizeof(path)) {
        return 0; /* FLB_ERROR */
    }
    f = fopen(path, "wb");
    if (f == NULL) {
        return 0;
    }
    count++;
    good = fwrite(data, 1, (size_t) size, f) == (size_t) size;
    return fclose(f) == 0 && good; /* FLB_OK is 1 */
}

int FLBPluginExit(void)
{
    return 1;
}
