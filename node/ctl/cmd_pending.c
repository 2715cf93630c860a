/* nodes pending, approve, deny: nodes that came without a token. */
#include <string.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The id in full: a part of it approves nobody. */
static const struct ctl_column pending_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},       {"ID", "id", CTL_AS_TEXT, false},
    {"WORDS", "words", CTL_AS_TEXT, false},     {"ROLE", "role", CTL_AS_TEXT, false},
    {"ADDRESS", "address", CTL_AS_TEXT, false}, {"SPONSOR", "sponsor", CTL_AS_TEXT, false},
    {"HEARD", "heard_ms", CTL_AS_AGE, false},   {"SINCE", "since", CTL_AS_TIME, true},
    {"REGION", "region", CTL_AS_TEXT, true},
};

static int pending_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/pending", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, pending_columns, COUNT(pending_columns))
                            : status;
}

int ctl_nodes_pending(struct ctl *ctl)
{
    return ctl_watch(ctl, pending_once);
}

/* All arguments as one: words may be quoted or not. */
static const char *who_of(struct ctl *ctl)
{
    const char *who = ctl->args[0];

    for (int i = 1; i < ctl->args_count; i++)
        who = mn_arena_format(&ctl->arena, "%s %s", who, ctl->args[i]);
    return who;
}

int ctl_nodes_approve(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/pending/", who_of(ctl), "/approve");
    const char *role = ctl_value(ctl, "--role");
    struct mn_writer writer = {0};
    const struct json *root;
    struct mn_buf *body;
    int status;

    mn_writer_str(&writer, "{");
    if (role != NULL) {
        mn_writer_str(&writer, "\"role\":");
        json_write_string(&writer, mn_span_str(role));
    }
    mn_writer_str(&writer, "}");
    body = mn_writer_done(&writer);
    status = ctl_do(ctl, "POST", path, mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s (%s) is let in as %s", ctl_show(ctl, root, "name"),
                          ctl_show(ctl, root, "id"), ctl_show(ctl, root, "role"));
}

int ctl_nodes_deny(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/pending/", who_of(ctl), "");
    const struct json *root;
    int status = ctl_do(ctl, "DELETE", path, mn_span(NULL, 0), &root);

    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s is refused for 24 hours", ctl_show(ctl, root, "id"));
}
