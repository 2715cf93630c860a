/* Who is thrown out, who may let others in, and which keys the mesh has. */
#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column key_columns[] = {
    {"KIND", "kind", CTL_AS_TEXT, false},       {"ID", "id", CTL_AS_TEXT, false},
    {"STATE", "state", CTL_AS_STATE, false},    {"NODE", "node", CTL_AS_TEXT, false},
    {"CREATED", "created", CTL_AS_TIME, false}, {"UNTIL", "until", CTL_AS_TIME, false},
};

static int keys_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/keys", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, key_columns, COUNT(key_columns)) : status;
}

int ctl_keys_ls(struct ctl *ctl)
{
    return ctl_watch(ctl, keys_once);
}

int ctl_nodes_revoke(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/nodes/", ctl->args[0], "/revoke");
    const char *reason = ctl_value(ctl, "--reason");
    struct mn_writer writer = {0};
    const struct json *root;
    struct mn_buf *body;
    int status;

    mn_writer_str(&writer, "{");
    if (reason != NULL) {
        mn_writer_str(&writer, "\"reason\":");
        json_write_string(&writer, mn_span_str(reason));
    }
    mn_writer_str(&writer, "}");
    body = mn_writer_done(&writer);
    status = ctl_do(ctl, "POST", path, mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s (%s) is revoked, and the mesh has a new key",
                          ctl_show(ctl, root, "name"), ctl_show(ctl, root, "id"));
}

int ctl_nodes_remove(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/nodes/", ctl->args[0], "");
    const struct json *root;
    int status = ctl_do(ctl, "DELETE", path, mn_span(NULL, 0), &root);

    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s (%s) is removed", ctl_show(ctl, root, "name"),
                          ctl_show(ctl, root, "id"));
}
