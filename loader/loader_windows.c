/*
 * The three loaders on Windows: cloudwatch.dll, kinesis.dll and firehose.dll.
 *
 * See loader.c for why there are loaders. Here a name that is looked up in a
 * DLL is looked up in that alone, so this one has functions for all names, which
 * call those of the library beside it. The library is loaded by its whole path:
 * Windows would not look in the loader's directory for it.
 */
#if !defined(NAME) || !defined(DESCRIPTION)
#error "compile with -DNAME='\"cloudwatch\"' -DDESCRIPTION='\"...\"'"
#endif

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <windows.h>

#define EXPORT __declspec(dllexport)
#define LIBRARY "libaws-for-fluent-bit.dll"

static int (*library_register)(void *, const char *, const char *);
static int (*library_init)(void *);
static int (*library_flush)(uintptr_t, void *, size_t, char *);
static void (*library_pre_exit)(int);
static int (*library_exit)(uintptr_t);
static void (*library_unregister)(void *);

/* look up NAME into the function pointer VAR; 0 if it is not there. */
#define LOOK_UP(library, var, name) \
    ((*(void **) &(var) = (void *) GetProcAddress(library, name)) != NULL)

/* load finds the library beside this file; it stays loaded, as a Go runtime must. */
static int load(void)
{
    char path[MAX_PATH + sizeof(LIBRARY)];
    HMODULE self, library;
    DWORD n;

    if (!GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                            GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                            (const char *) &library_register, &self)) {
        return 0;
    }
    n = GetModuleFileNameA(self, path, MAX_PATH);
    if (n == 0 || n >= MAX_PATH) {
        return 0;
    }
    while (n > 0 && path[n - 1] != '\\' && path[n - 1] != '/') {
        n--;
    }
    memcpy(path + n, LIBRARY, sizeof(LIBRARY));
    library = LoadLibraryExA(path, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
    return library != NULL &&
           LOOK_UP(library, library_register, "aws_for_fluent_bit_register") &&
           LOOK_UP(library, library_init, "FLBPluginInit") &&
           LOOK_UP(library, library_flush, "FLBPluginFlushCtx") &&
           LOOK_UP(library, library_pre_exit, "FLBPluginOutputPreExit") &&
           LOOK_UP(library, library_exit, "FLBPluginExitCtx") &&
           LOOK_UP(library, library_unregister, "FLBPluginUnregister");
}

/* FLBPluginRegister is called before all others; -1 has Fluent Bit leave the
   plugin out (src/flb_plugin_proxy.c). */
EXPORT int FLBPluginRegister(void *def)
{
    return load() ? library_register(def, NAME, DESCRIPTION) : -1;
}

EXPORT int FLBPluginInit(void *plugin)
{
    return library_init(plugin);
}

EXPORT int FLBPluginFlushCtx(uintptr_t context, void *data, size_t size, char *tag)
{
    return library_flush(context, data, size, tag);
}

EXPORT void FLBPluginOutputPreExit(int reloading)
{
    library_pre_exit(reloading);
}

EXPORT int FLBPluginExitCtx(uintptr_t context)
{
    return library_exit(context);
}

EXPORT void FLBPluginUnregister(void *def)
{
    library_unregister(def);
}
