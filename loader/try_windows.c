/*
 * A program that loads one of the plugins on Windows as Fluent Bit does
 * (src/flb_plugin_proxy.c, src/proxy/go/go.c), gives it the chunk of a file, and
 * ends with 0 if that was delivered. For the e2e test, by wine.
 *
 *   try.exe DLL CHUNK option=value...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

/* struct flb_plugin_proxy_def, include/fluent-bit/flb_plugin_proxy.h */
struct def {
    int type, proxy, flags;
    char *name, *description;
    int event_type;
    void *config_map;
};

/* struct flb_api, include/fluent-bit/flb_api.h: the first of its functions */
struct api {
    char *(*output_get_property)(const char *, void *);
    void *rest[16];
};

struct context {
    uintptr_t remote_context;
};

/* struct flbgo_output_plugin, src/proxy/go/go.h */
struct plugin {
    const char *name;
    struct api *api;
    void *instance;
    struct context *context;
};

static char **options;
static int count;

static char *property(const char *key, void *instance)
{
    size_t n = strlen(key);
    int i;

    (void) instance;
    for (i = 0; i < count; i++) {
        if (strncmp(options[i], key, n) == 0 && options[i][n] == '=') {
            return options[i] + n + 1;
        }
    }
    return NULL;
}

static void *symbol(HMODULE dll, const char *name)
{
    void *p = (void *) GetProcAddress(dll, name);

    if (p == NULL) {
        fprintf(stderr, "no %s\n", name);
        exit(2);
    }
    return p;
}

int main(int argc, char **argv)
{
    static char chunk[1 << 20];
    static struct api api;
    struct def def = {0};
    struct context context = {0};
    struct plugin plugin = {0};
    HMODULE dll;
    FILE *f;
    size_t size;
    int result;

    if (argc < 3) {
        return 2;
    }
    options = argv + 3;
    count = argc - 3;
    f = fopen(argv[2], "rb");
    if (f == NULL) {
        return 2;
    }
    size = fread(chunk, 1, sizeof(chunk), f);
    fclose(f);
    dll = LoadLibraryA(argv[1]);
    if (dll == NULL) {
        fprintf(stderr, "cannot load %s: %lu\n", argv[1], GetLastError());
        return 2;
    }
    result = ((int (*)(void *)) symbol(dll, "FLBPluginRegister"))(&def);
    if (result != 0 || def.name == NULL) {
        fprintf(stderr, "register: %d\n", result);
        return 3;
    }
    printf("registered %s\n", def.name);
    api.output_get_property = property;
    plugin.name = def.name;
    plugin.api = &api;
    plugin.context = &context;
    result = ((int (*)(void *)) symbol(dll, "FLBPluginInit"))(&plugin);
    if (result != 1) {
        fprintf(stderr, "init: %d\n", result);
        return 4;
    }
    result = ((int (*)(uintptr_t, void *, size_t, char *)) symbol(dll, "FLBPluginFlushCtx"))(
        context.remote_context, chunk, size, "app");
    printf("flushed: %d\n", result);
    ((void (*)(int)) symbol(dll, "FLBPluginOutputPreExit"))(0);
    ((int (*)(uintptr_t)) symbol(dll, "FLBPluginExitCtx"))(context.remote_context);
    ((void (*)(void *)) symbol(dll, "FLBPluginUnregister"))(&def);
    fflush(stdout);
    return result == 1 ? 0 : 5;
}
