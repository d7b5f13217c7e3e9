/*
 * The three loaders: cloudwatch.so, kinesis.so and firehose.so.
 *
 * Fluent Bit takes one plugin name from one shared object. The Go runtime, on
 * the other hand, does not support several Go libraries in one process
 * (https://github.com/golang/go/issues/18976), and each would bring 15 MB of
 * its own. So all three plugins live in one Go library, and this file, compiled
 * once per name, is what users load: it defines only the function that says the
 * name, and is linked to the library, which lies beside it. Fluent Bit looks
 * the other functions up with dlsym on the loader's handle, which goes on to
 * the loader's dependencies.
 */
#if !defined(NAME) || !defined(DESCRIPTION)
#error "compile with -DNAME='\"cloudwatch\"' -DDESCRIPTION='\"...\"'"
#endif

/* In the library; see plugins.go. */
extern int aws_for_fluent_bit_register(void *def, const char *name, const char *description);

/* FLBPluginRegister fills in Fluent Bit's struct flb_plugin_proxy_def. */
__attribute__((visibility("default")))
int FLBPluginRegister(void *def);

int FLBPluginRegister(void *def)
{
    return aws_for_fluent_bit_register(def, NAME, DESCRIPTION);
}
