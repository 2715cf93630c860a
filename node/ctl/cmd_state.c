/* state: the strong keyspace. */
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"
#include "node/json/string.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NODE_TIMEOUT_MS 5000 /* what the node waits, unless --timeout says otherwise */

static const struct ctl_column pair_columns[] = {
    {"KEY", "key", CTL_AS_TEXT, false},        {"VALUE", "value", CTL_AS_TEXT, false},
    {"REV", "rev", CTL_AS_TEXT, false},        {"LEASE", "lease", CTL_AS_TEXT, true},
    {"CREATED", "created", CTL_AS_TEXT, true},
};

/* True: the level asked for is one there is. */
static bool level_is_known(struct ctl *ctl)
{
    const char *level = ctl_value(ctl, "--level");

    if (level == NULL || strcmp(level, "strong") == 0) return true;
    (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl state --help",
                    "--level %s: this version has strong only", level);
    return false;
}

const char *ctl_state_query(struct ctl *ctl, const char *path)
{
    char first = strchr(path, '?') == NULL ? '?' : '&';
    unsigned ms = NODE_TIMEOUT_MS;

    /* Sooner than we hang up, so that the node says what it knows. */
    if (ctl->has_timeout && ctl->timeout_ms > 0) ms = ctl->timeout_ms / 5 * 4;
    return mn_arena_format(&ctl->arena, "%s%ctimeout_ms=%u", path, first,
                           ms > 60000 ? 60000 : (ms < 10 ? 10 : ms));
}

static const char *key_path(struct ctl *ctl, const char *suffix)
{
    return ctl_path(ctl, "/v1/state/", ctl->args[0], suffix);
}

/* ---- reading ---- */

static int ls_once(struct ctl *ctl)
{
    const char *prefix = ctl->args_count > 0 ? ctl->args[0] : "", *after = "";
    const char *limit = ctl_value(ctl, "--limit"), *path;
    const struct json *root;
    uint64_t count = 100;
    int status;

    if (!level_is_known(ctl)) return CTL_USAGE;
    if (limit != NULL && !ctl_parse_number(limit, 1, 256, &count))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl state ls --limit 100",
                         "--limit %s: a number from 1 to 256", limit);
    if (ctl_value(ctl, "--after") != NULL) after = ctl_value(ctl, "--after");
    path = ctl_path(ctl, "/v1/state?prefix=", prefix, "");
    if (*after != '\0')
        path = mn_arena_format(&ctl->arena, "%s%s", path, ctl_path(ctl, "&after=", after, ""));
    path = mn_arena_format(&ctl->arena, "%s&limit=%llu", path, (unsigned long long)count);
    status = ctl_get(ctl, ctl_state_query(ctl, path), &root);
    if (status != CTL_OK) return status;
    status = ctl_print_list(ctl, root, pair_columns, COUNT(pair_columns));
    if (status == CTL_OK && !ctl->is_quiet && *ctl_show(ctl, root, "next") != '\0')
        fprintf(ctl->err, "there is more: --after %s\n", ctl_show(ctl, root, "next"));
    return status;
}

int ctl_state_ls(struct ctl *ctl)
{
    return ctl_watch(ctl, ls_once);
}

int ctl_state_get(struct ctl *ctl)
{
    const struct json *root;
    int status;

    if (!level_is_known(ctl)) return CTL_USAGE;
    status = ctl_get(ctl, ctl_state_query(ctl, key_path(ctl, "")), &root);
    if (status != CTL_OK) return status;
    if (ctl_wants_json(ctl)) return ctl_print_object(ctl, root);
    fprintf(ctl->out, "%s\n", ctl_show(ctl, root, "value"));
    return CTL_OK;
}

/* ---- writing ---- */

/* --if-rev; false: told. Negative: not given. */
static bool read_rev(struct ctl *ctl, long long *ret)
{
    const char *text = ctl_value(ctl, "--if-rev");
    uint64_t rev = 0;

    *ret = -1;
    if (text == NULL) return true;
    if (!ctl_parse_number(text, 0, INT64_MAX, &rev)) {
        (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl state get KEY --json",
                        "--if-rev %s: the rev of the key, 0 if there must be none", text);
        return false;
    }
    *ret = (long long)rev;
    return true;
}

static int send_body(struct ctl *ctl, const char *method, const char *path,
                     struct mn_writer *writer, const struct json **root)
{
    struct mn_buf *body = mn_writer_done(writer);
    int status = ctl_do(ctl, method, ctl_state_query(ctl, path), mn_buf_span(body), root);

    mn_buf_unref(body);
    return status;
}

static int print_rev(struct ctl *ctl, const struct json *root, const char *what)
{
    return ctl_print_done(ctl, root, "%s %s, revision %.0f", ctl->args[0], what,
                          ctl_number(root, "rev"));
}

int ctl_state_put(struct ctl *ctl)
{
    const char *lease = ctl_value(ctl, "--lease");
    struct mn_span value = mn_span_str(ctl->args[1]);
    struct mn_writer writer = {0};
    const struct json *root;
    uint64_t id = 0;
    long long rev;
    int status;

    if (!level_is_known(ctl) || !read_rev(ctl, &rev)) return CTL_USAGE;
    if (lease != NULL && !ctl_parse_number(lease, 1, INT64_MAX, &id))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl state put --help",
                         "--lease %s: the number of a lease", lease);
    if (mn_span_is(value, "-")) value = ctl_read_stdin(ctl);
    if (!json_string_is_text(value))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl state put --help",
                         "the value is no UTF-8 text; base64 makes one of it");
    mn_writer_str(&writer, "{\"value\":");
    json_write_string(&writer, value);
    if (rev >= 0) mn_writer_format(&writer, ",\"if_rev\":%lld", rev);
    if (id > 0) mn_writer_format(&writer, ",\"lease\":%llu", (unsigned long long)id);
    mn_writer_str(&writer, "}");
    status = send_body(ctl, "PUT", key_path(ctl, ""), &writer, &root);
    return status == CTL_OK ? print_rev(ctl, root, "is set") : status;
}

int ctl_state_incr(struct ctl *ctl)
{
    const char *text = ctl->args_count > 1 ? ctl->args[1] : "1";
    const char *digits = *text == '-' ? text + 1 : text;
    struct mn_writer writer = {0};
    const struct json *root;
    uint64_t by;
    int status;

    if (!level_is_known(ctl)) return CTL_USAGE;
    if (!ctl_parse_number(digits, 0, INT64_MAX, &by))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl state incr KEY 1",
                         "%s: a whole number is needed", text);
    mn_writer_format(&writer, "{\"by\":%s%llu}", digits == text ? "" : "-", (unsigned long long)by);
    status = send_body(ctl, "POST", key_path(ctl, "/incr"), &writer, &root);
    if (status != CTL_OK) return status;
    if (ctl_wants_json(ctl)) return ctl_print_object(ctl, root);
    fprintf(ctl->out, "%.0f\n", ctl_number(root, "number"));
    return CTL_OK;
}

int ctl_state_rm(struct ctl *ctl)
{
    const struct json *root;
    const char *path;
    long long rev;
    int status;

    if (!level_is_known(ctl) || !read_rev(ctl, &rev)) return CTL_USAGE;
    path = ctl_state_query(ctl, key_path(ctl, ""));
    if (rev >= 0) path = mn_arena_format(&ctl->arena, "%s&if_rev=%lld", path, rev);
    status = ctl_do(ctl, "DELETE", path, mn_span(NULL, 0), &root);
    return status == CTL_OK ? print_rev(ctl, root, "is removed") : status;
}
