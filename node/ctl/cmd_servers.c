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

/* ---- add: the same JSON that a file of servers has ---- */

static void write_key(struct mn_writer *writer, const char *key)
{
    bool is_first = writer->buf->bytes[writer->buf->size - 1] == '{';
    mn_writer_format(writer, "%s\"%s\":", is_first ? "" : ",", key);
}

static void write_text(struct mn_writer *writer, const char *key, const char *text)
{
    if (text == NULL) return;
    write_key(writer, key);
    json_write_string(writer, mn_span_str(text));
}

static void write_command(struct mn_writer *writer, char *const *command)
{
    write_text(writer, "command", command[0]);
    write_key(writer, "args");
    mn_writer_str(writer, "[");
    for (char *const *arg = command + 1; *arg != NULL; arg++) {
        if (arg != command + 1) mn_writer_str(writer, ",");
        json_write_string(writer, mn_span_str(*arg));
    }
    mn_writer_str(writer, "]");
}

static void write_env(struct mn_writer *writer, const struct ctl *ctl)
{
    write_key(writer, "env");
    mn_writer_str(writer, "{");
    for (int i = 0; i < ctl->values_count; i++) {
        const char *pair = ctl->values[i].value;
        size_t size = strcspn(pair, "=");
        if (strcmp(ctl->values[i].name, "--env") != 0) continue;
        if (writer->buf->bytes[writer->buf->size - 1] != '{') mn_writer_str(writer, ",");
        json_write_string(writer, mn_span(pair, size));
        mn_writer_str(writer, ":");
        json_write_string(writer, mn_span_str(pair + size + 1));
    }
    mn_writer_str(writer, "}");
}

static void write_flag(struct mn_writer *writer, const char *key, const char *value)
{
    if (value == NULL) return;
    write_key(writer, key);
    mn_writer_str(writer, "true");
}

static struct mn_buf *server_json(struct ctl *ctl)
{
    struct mn_writer writer = {0};

    mn_writer_str(&writer, "{");
    json_write_string(&writer, mn_span_str(ctl->args[0]));
    mn_writer_str(&writer, ":{");
    write_text(&writer, "url", ctl_value(ctl, "--url"));
    if (ctl->rest != NULL) write_command(&writer, ctl->rest);
    if (ctl_value(ctl, "--env") != NULL) write_env(&writer, ctl);
    write_text(&writer, "cwd", ctl_value(ctl, "--cwd"));
    write_text(&writer, "era", ctl_value(ctl, "--era"));
    write_flag(&writer, "replica", ctl_value(ctl, "--replica"));
    write_flag(&writer, "uniform", ctl_value(ctl, "--uniform"));
    mn_writer_str(&writer, "}}");
    return mn_writer_done(&writer);
}

static int check_server(struct ctl *ctl)
{
    static const char hint[] = "meshctl servers add files -- npx -y "
                               "@modelcontextprotocol/server-filesystem /srv";
    bool has_command = ctl->rest != NULL && ctl->rest[0] != NULL;
    bool has_url = ctl_value(ctl, "--url") != NULL;

    if (has_command == has_url)
        return ctl_error(ctl, CTL_USAGE, "usage", hint,
                         "give a command after `--`, or --url, not both");
    for (int i = 0; i < ctl->values_count; i++) {
        const char *name = ctl->values[i].name, *value = ctl->values[i].value;
        bool is_env = strcmp(name, "--env") == 0;
        if (is_env && (strchr(value, '=') == NULL || value[0] == '='))
            return ctl_error(ctl, CTL_USAGE, "usage", "meshctl servers add NAME --env K=V -- ...",
                             "--env %s: not K=V", value);
        if (has_url && (is_env || strcmp(name, "--cwd") == 0))
            return ctl_error(ctl, CTL_USAGE, "usage", hint, "%s is for commands, not for URLs",
                             name);
    }
    if (!has_command) ctl->rest = NULL;
    return CTL_OK;
}

int ctl_servers_add(struct ctl *ctl)
{
    int status = check_server(ctl);
    const struct json *root;
    struct mn_buf *body;

    if (status != CTL_OK) return status;
    body = server_json(ctl);
    status = ctl_do(ctl, "POST", "/v1/servers", mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s is attached; is it well? meshctl servers show %s",
                          ctl->args[0], ctl->args[0]);
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
