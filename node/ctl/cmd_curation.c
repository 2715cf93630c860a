/* views, tools pins and their verbs: what the mesh agrees on about tools. */
#include <errno.h>
#include <string.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define VIEW_MAX 65536 /* bytes */

/* ---- views ---- */

static const struct ctl_column view_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},           {"SURFACE", "surface", CTL_AS_TEXT, false},
    {"TOOLS", "tools", CTL_AS_TEXT, false},         {"PROMPTS", "prompts", CTL_AS_TEXT, false},
    {"RESOURCES", "resources", CTL_AS_TEXT, false}, {"PATH", "path", CTL_AS_TEXT, false},
};

static int views_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/views", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, view_columns, COUNT(view_columns)) : status;
}

int ctl_views(struct ctl *ctl)
{
    return ctl_watch(ctl, views_once);
}

static const struct ctl_column shown_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},
    {"SERVER", "server", CTL_AS_TEXT, false},
    {"TOOL", "tool", CTL_AS_TEXT, false},
    {"STATE", "state", CTL_AS_STATE, false},
};

static int view_once(struct ctl *ctl)
{
    const struct json *root, *unmatched;
    int status = ctl_get(ctl, ctl_path(ctl, "/v1/views/", ctl->args[0], ""), &root);

    if (status != CTL_OK) return status;
    if (ctl_wants_json(ctl)) return ctl_print_object(ctl, root);
    fprintf(ctl->out, "%s: %s surface, at %s\n\n", ctl_show(ctl, root, "name"),
            ctl_show(ctl, root, "surface"), ctl_show(ctl, root, "path"));
    ctl_print_rows(ctl, json_find_str(root, "shows"), shown_columns, COUNT(shown_columns));
    unmatched = json_find_str(root, "unmatched");
    for (const struct json *item = json_is(unmatched, JSON_ARRAY) ? json_first(unmatched) : NULL;
         item != NULL; item = json_next(unmatched, item))
        fprintf(ctl->err, "%s chooses nothing now\n", ctl_show_span(ctl, item->text));
    return CTL_OK;
}

int ctl_views_show(struct ctl *ctl)
{
    return ctl_watch(ctl, view_once);
}

/* The whole of a file, `-` for stdin; empty after it was told why. */
static struct mn_span read_view(struct ctl *ctl, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    uint8_t *text = mn_arena_alloc(&ctl->texts, VIEW_MAX + 1 + MN_BUF_PADDING);
    size_t size;
    int error;

    if (file == NULL) {
        (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl views apply FILE", "%s: %s", path,
                        strerror(errno));
        return mn_span(NULL, 0);
    }
    memset(text, 0, VIEW_MAX + 1 + MN_BUF_PADDING);
    errno = 0;
    size = fread(text, 1, VIEW_MAX + 1, file);
    error = ferror(file) ? errno : 0;
    if (!is_stdin) fclose(file);
    if (error != 0) {
        (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl views apply FILE", "%s: %s", path,
                        strerror(error));
        return mn_span(NULL, 0);
    }
    if (size > 0 && size <= VIEW_MAX) return mn_span(text, size);
    (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl views apply FILE",
                    "%s is empty or over 64 KiB", path);
    return mn_span(NULL, 0);
}

int ctl_views_apply(struct ctl *ctl)
{
    static const char shape[] = "{\"name\": \"NAME\", \"tools\": [\"SERVER/TOOL\"]}";
    struct mn_span text = read_view(ctl, ctl->args[0]);
    const struct json *view, *root;
    const char *name;
    int status;

    if (text.size == 0) return CTL_USAGE;
    view = ctl_parse_json(ctl, text);
    if (view == NULL)
        return ctl_error(ctl, CTL_USAGE, "usage", shape, "%s: not valid JSON (at byte %zu)",
                         ctl->args[0], json_error_offset(ctl->parser));
    name = ctl_show(ctl, view, "name");
    if (!json_is(view, JSON_OBJECT) || *name == '\0')
        return ctl_error(ctl, CTL_USAGE, "usage", shape, "%s: not a JSON object with a name",
                         ctl->args[0]);
    name = mn_arena_format(&ctl->texts, "%s", name);
    status = ctl_do(ctl, "PUT", ctl_path(ctl, "/v1/views/", name, ""), text, &root);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "view %s is agreed on; look at it: meshctl views show %s",
                          name, name);
}

int ctl_views_rm(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/views/", ctl->args[0], "");
    const struct json *root;
    int status = ctl_do(ctl, "DELETE", path, mn_span(NULL, 0), &root);

    return status == CTL_OK ? ctl_print_done(ctl, root, "view %s is removed", ctl->args[0])
                            : status;
}

/* ---- pins ---- */

static const struct ctl_column pin_columns[] = {
    {"SERVER", "server", CTL_AS_TEXT, false}, {"TOOL", "tool", CTL_AS_TEXT, false},
    {"STATE", "state", CTL_AS_STATE, false},  {"PIN", "pin", CTL_AS_ID, false},
    {"NOW", "current", CTL_AS_ID, false},     {"REASON", "reason", CTL_AS_TEXT, false},
    {"NAME", "name", CTL_AS_TEXT, true},
};

static int pins_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/pins", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, pin_columns, COUNT(pin_columns)) : status;
}

int ctl_tools_pins(struct ctl *ctl)
{
    return ctl_watch(ctl, pins_once);
}

static int post_rule(struct ctl *ctl, const char *tool, const char *verb, struct mn_span body,
                     const struct json **root)
{
    return ctl_do(ctl, "POST", ctl_path(ctl, "/v1/tools/", tool, verb), body, root);
}

/* The names of all listed tools, which outlive the next requests. */
static int list_all(struct ctl *ctl, const char ***names, uint32_t *count)
{
    const struct json *root, *items;
    int status = ctl_get(ctl, "/v1/tools", &root);

    if (status != CTL_OK) return status;
    items = json_find_str(root, "items");
    if (!json_is(items, JSON_ARRAY)) return CTL_FAILED;
    *names = mn_arena_alloc(&ctl->texts, (items->count + 1) * sizeof **names);
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item))
        (*names)[(*count)++] =
            (const char *)mn_arena_copy(&ctl->texts, ctl_string(item, "name")).data;
    return CTL_OK;
}

int ctl_tools_approve(struct ctl *ctl)
{
    bool is_all = ctl_value(ctl, "--all") != NULL;
    const char **names = ctl->args;
    const struct json *root = NULL;
    uint32_t count = is_all ? 0 : (uint32_t)ctl->args_count;
    int status = CTL_OK;

    if (is_all == (ctl->args_count > 0))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl tools approve TOOL",
                         "name tools, or give --all");
    if (is_all) status = list_all(ctl, &names, &count);
    for (uint32_t i = 0; status == CTL_OK && i < count; i++) {
        mn_arena_reset(&ctl->arena);
        status = post_rule(ctl, names[i], "/approve", mn_span_str("{}"), &root);
    }
    if (status != CTL_OK || root == NULL) return status;
    return ctl_print_done(ctl, root, "%u %s approved as now defined", count,
                          count == 1 ? "tool is" : "tools are");
}

int ctl_tools_quarantine(struct ctl *ctl)
{
    const char *reason = ctl_value(ctl, "--reason");
    struct mn_writer writer = {0};
    const struct json *root;
    struct mn_buf *body;
    int status;

    mn_writer_str(&writer, "{\"reason\":");
    json_write_string(&writer, mn_span_str(reason == NULL ? "" : reason));
    mn_writer_str(&writer, "}");
    body = mn_writer_done(&writer);
    status = post_rule(ctl, ctl->args[0], "/quarantine", mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s is in quarantine; meshctl tools approve lifts that",
                          ctl->args[0]);
}

int ctl_tools_unpin(struct ctl *ctl)
{
    const struct json *root;
    int status = post_rule(ctl, ctl->args[0], "/unpin", mn_span_str("{}"), &root);

    return status == CTL_OK
               ? ctl_print_done(ctl, root, "nothing is agreed on %s any more", ctl->args[0])
               : status;
}
