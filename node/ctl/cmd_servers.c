/* servers: what is attached to this node. */
#include <string.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column server_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},      {"TRANSPORT", "transport", CTL_AS_TEXT, false},
    {"STATE", "state", CTL_AS_STATE, false},   {"ERA", "era", CTL_AS_TEXT, false},
    {"TOOLS", "tools", CTL_AS_TEXT, false},    {"IN-FLIGHT", "in_flight", CTL_AS_TEXT, false},
    {"CALLS", "calls", CTL_AS_TEXT, false},    {"STARTS", "starts", CTL_AS_TEXT, false},
    {"SINCE", "since_ms", CTL_AS_AGE, false},  {"TARGET", "target", CTL_AS_TEXT, true},
    {"VERSION", "version", CTL_AS_TEXT, true}, {"ERROR", "error", CTL_AS_TEXT, false},
};

static int servers_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/servers", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, server_columns, COUNT(server_columns))
                            : status;
}

int ctl_servers(struct ctl *ctl)
{
    return ctl_watch(ctl, servers_once);
}

static int show_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, ctl_path(ctl, "/v1/servers/", ctl->args[0], ""), &root);

    return status == CTL_OK ? ctl_print_object(ctl, root) : status;
}

int ctl_servers_show(struct ctl *ctl)
{
    return ctl_watch(ctl, show_once);
}

/* ---- rm, restart ---- */

int ctl_servers_rm(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/servers/", ctl->args[0], "");
    const struct json *root;
    int status = ctl_do(ctl, "DELETE", path, mn_span(NULL, 0), &root);

    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root,
                          "%s is detached; if it ever served, its name stays this node's: meshctl "
                          "servers release %s frees it",
                          ctl->args[0], ctl->args[0]);
}

int ctl_servers_restart(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/servers/", ctl->args[0], "/restart");
    const struct json *root;
    int status = ctl_do(ctl, "POST", path, mn_span(NULL, 0), &root);

    return status == CTL_OK ? ctl_print_done(ctl, root, "%s starts anew", ctl->args[0]) : status;
}

/* ---- names ---- */

static const struct ctl_column name_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},
    {"STATE", "state", CTL_AS_STATE, false},
    {"OWNER", "owner", CTL_AS_TEXT, false},
    {"NODES", "nodes", CTL_AS_TEXT, false},
    {"CLAIMED-BY", "claimed_by", CTL_AS_TEXT, false},
    {"OWNER-ID", "owner_id", CTL_AS_ID, true},
};

static int names_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/names", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, name_columns, COUNT(name_columns)) : status;
}

int ctl_servers_names(struct ctl *ctl)
{
    return ctl_watch(ctl, names_once);
}

int ctl_servers_release(struct ctl *ctl)
{
    const char *path = ctl_path(ctl, "/v1/names/", ctl->args[0], "");
    const struct json *root;
    int status = ctl_do(ctl, "DELETE", path, mn_span(NULL, 0), &root);

    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root,
                          "%s is free: the next server that is the only one of the name "
                          "has it",
                          ctl->args[0]);
}
