/* The resolved options as JSON, for `meshctl config`: what each is, and where it comes from. */
#include "node/io/run_internal.h"
#include "node/json/json.h"

static void run_write_value(const struct option_spec *spec, const struct option_value *value,
                            struct mn_writer *to)
{
    for (uint32_t i = 0; i < value->items_count; i++) {
        if (i > 0) mn_writer_str(to, ", ");
        options_write_shown(spec, value->items[i], to);
    }
}

static void run_write_string(struct mn_writer *to, const char *key, struct mn_buf *text)
{
    mn_writer_format(to, ",\"%s\":", key);
    json_write_string(to, mn_buf_span(text));
    mn_buf_unref(text);
}

struct mn_span run_settings(const struct options *options, struct mn_arena *arena)
{
    struct mn_writer to = {0};
    struct mn_buf *whole;
    struct mn_span copy;
    mn_writer_str(&to, "[");
    for (uint32_t i = 0; i < options->count; i++) {
        const struct option_value *value = &options->values[i];
        struct mn_writer text = {0};
        mn_writer_format(&to, "%s{\"key\":\"%s\"", i > 0 ? "," : "", options->specs[i].key);
        run_write_value(&options->specs[i], value, &text);
        if (value->items_count > 0)
            run_write_string(&to, "value", mn_writer_done(&text));
        else
            mn_writer_str(&to, ",\"value\":null");
        mn_writer_drop(&text);
        run_write_string(
            &to, "origin",
            mn_buf_copy(mn_span_str(value->origin == NULL ? "not set" : value->origin)));
        mn_writer_str(&to, "}");
    }
    mn_writer_str(&to, "]");
    whole = mn_writer_done(&to);
    copy = mn_arena_copy(arena, mn_buf_span(whole));
    mn_buf_unref(whole);
    return copy;
}
