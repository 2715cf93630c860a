/* events, servers logs, state watch: one JSON object per line, for ever with --follow. */
#include <string.h>

#include "node/ctl/ctl.h"

#define LINE_MAX_SIZE (1u << 20) /* bytes of one line */

struct lines {
    struct mn_writer line;
    void (*print)(struct ctl *ctl, const struct json *line);
    struct mn_buf *refusal; /* the line that is an error instead */
};

static void on_line(struct ctl *ctl, struct lines *lines)
{
    struct mn_buf *line = mn_writer_done(&lines->line);
    const struct json *root = ctl_parse_json(ctl, mn_buf_span(line));

    if (json_is(json_find_str(root, "error"), JSON_OBJECT)) {
        mn_buf_unref(lines->refusal);
        lines->refusal = mn_buf_ref(line);
    } else if (root != NULL && ctl_wants_json(ctl)) {
        ctl_print_json(ctl, root);
    } else if (root != NULL) {
        lines->print(ctl, root);
    }
    mn_buf_unref(line);
    mn_arena_reset(&ctl->arena);
}

static bool on_bytes(struct ctl *ctl, struct mn_span bytes, void *context)
{
    struct lines *lines = context;

    while (bytes.size > 0) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.size);
        size_t size = end == NULL ? bytes.size : (size_t)(end - bytes.data);
        if (mn_writer_size(&lines->line) + size > LINE_MAX_SIZE) return false;
        mn_writer_add(&lines->line, mn_span(bytes.data, size));
        if (end == NULL) break;
        on_line(ctl, lines);
        bytes = mn_span(end + 1, bytes.size - size - 1);
    }
    return fflush(ctl->out) == 0;
}

static int lines_print(struct ctl *ctl, const char *path,
                       void (*print)(struct ctl *ctl, const struct json *line))
{
    struct lines lines = {.print = print};
    const struct ctl_request request = {
        .method = "GET", .path = path, .on_bytes = on_bytes, .context = &lines};
    struct ctl_answer answer;
    int status = ctl_http(ctl, &request, &answer);

    if (status != CTL_OK && !ferror(ctl->out)) {
        ctl_tell_failure(ctl, status);
    } else if (status == CTL_OK) {
        mn_buf_unref(answer.body);
        if (answer.status >= 400 || lines.refusal != NULL) /* a stream may end with one */
            status = ctl_tell_refusal(
                ctl, answer.status >= 400 ? answer.status : 409,
                lines.refusal == NULL ? NULL : ctl_parse_json(ctl, mn_buf_span(lines.refusal)));
    }
    mn_writer_drop(&lines.line);
    mn_buf_unref(lines.refusal);
    return status;
}

/* ---- logs ---- */

static void print_log_line(struct ctl *ctl, const struct json *line)
{
    fprintf(ctl->out, "%s %s\n", ctl_show(ctl, line, "time"), ctl_show(ctl, line, "text"));
}

int ctl_servers_logs(struct ctl *ctl)
{
    const char *suffix = ctl->is_following ? "/logs?follow=1" : "/logs";
    return lines_print(ctl, ctl_path(ctl, "/v1/servers/", ctl->args[0], suffix), print_log_line);
}

/* ---- events ---- */

static void print_event(struct ctl *ctl, const struct json *event)
{
    static const char *const shown[] = {"time", "level", "event"};
    const char *level = ctl_show(ctl, event, "level");

    fprintf(ctl->out, "%s %s%-5s%s %-22s", ctl_show(ctl, event, "time"),
            ctl_colour(ctl, strcmp(level, "warn") == 0 ? "warning" : level), level,
            ctl_colour_end(ctl), ctl_show(ctl, event, "event"));
    for (const struct json *key = json_first(event); key != NULL; key = json_next(event, key)) {
        const struct json *value = json_value(key);
        struct mn_span text = value->type == JSON_STRING ? value->text : value->raw;
        bool is_shown = false;
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            is_shown = is_shown || mn_span_is(key->text, shown[i]);
        if (is_shown) continue;
        if (mn_span_is(key->text, "id") && text.size > 8) text.size = 8;
        fprintf(ctl->out, " %s=%s", ctl_show_span(ctl, key->text), ctl_show_span(ctl, text));
    }
    putc('\n', ctl->out);
}

int ctl_events(struct ctl *ctl)
{
    return lines_print(ctl, ctl->is_following ? "/v1/events?follow=1" : "/v1/events", print_event);
}

/* ---- changes of the keyspace ---- */

/* Lines without a key only say how far the node has looked. */
static void print_change(struct ctl *ctl, const struct json *line)
{
    if (json_find_str(line, "key") == NULL) return;
    if (ctl_is_true(line, "removed"))
        fprintf(ctl->out, "%s rm %s\n", ctl_show(ctl, line, "at"), ctl_show(ctl, line, "key"));
    else
        fprintf(ctl->out, "%s put %s %s\n", ctl_show(ctl, line, "at"), ctl_show(ctl, line, "key"),
                ctl_show(ctl, line, "value"));
}

static int watch_once(struct ctl *ctl, const char *path)
{
    static const struct ctl_column columns[] = {{"AT", "at", CTL_AS_TEXT, false},
                                                {"KEY", "key", CTL_AS_TEXT, false},
                                                {"VALUE", "value", CTL_AS_TEXT, false},
                                                {"REMOVED", "removed", CTL_AS_BOOL, false}};
    const struct json *root;
    int status = ctl_get(ctl, ctl_state_query(ctl, path), &root);

    if (status == CTL_OK)
        status = ctl_print_list(ctl, root, columns, sizeof columns / sizeof *columns);
    if (status == CTL_OK && !ctl_wants_json(ctl) && !ctl->is_quiet)
        fprintf(ctl->err, "go on with: --from %s\n", ctl_show(ctl, root, "next"));
    return status;
}

int ctl_state_watch(struct ctl *ctl)
{
    const char *prefix = ctl->args_count > 0 ? ctl->args[0] : "";
    const char *path = ctl_path(ctl, "/v1/watch?prefix=", prefix, "");
    const char *from = ctl_value(ctl, "--from");

    if (from != NULL)
        path = mn_arena_format(&ctl->arena, "%s%s", path, ctl_path(ctl, "&from=", from, ""));
    if (ctl_value(ctl, "--once") != NULL) return watch_once(ctl, path);
    ctl->is_following = true;
    /* The path outlives the memory of a line. */
    return lines_print(ctl, mn_arena_format(&ctl->texts, "%s&follow=1", path), print_change);
}
