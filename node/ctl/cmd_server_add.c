/* servers add: the same JSON that a file of servers has. */
#include <errno.h>
#include <string.h>

#include "node/ctl/ctl.h"

#define COMMAND_HINT \
    "meshctl servers add files -- npx -y @modelcontextprotocol/server-filesystem /srv"
#define HEADER_HINT "meshctl servers add NAME --url URL --header 'X-Api-Key: @FILE'"

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

static void write_member(struct mn_writer *writer, struct mn_span name, const char *value)
{
    if (writer->buf->bytes[writer->buf->size - 1] != '{') mn_writer_str(writer, ",");
    json_write_string(writer, name);
    mn_writer_str(writer, ":");
    json_write_string(writer, mn_span_str(value));
}

static void write_env(struct mn_writer *writer, const struct ctl *ctl)
{
    write_key(writer, "env");
    mn_writer_str(writer, "{");
    for (int i = 0; i < ctl->values_count; i++) {
        const char *pair = ctl->values[i].value;
        size_t size = strcspn(pair, "=");
        if (strcmp(ctl->values[i].name, "--env") == 0)
            write_member(writer, mn_span(pair, size), pair + size + 1);
    }
    mn_writer_str(writer, "}");
}

/* [line] is one, as is_header() says. NULL: its file was no good, which was told. */
static const char *header_value(struct ctl *ctl, const char *line)
{
    const char *value = line + strcspn(line, ":") + 1;
    char *text;

    value += strspn(value, " ");
    if (*value != '@') return value;
    text = mn_arena_alloc(&ctl->texts, CTL_SECRET_MAX);
    if (ctl_secret_read(value + 1, text)) return text;
    (void)ctl_error(ctl, CTL_USAGE, "usage", HEADER_HINT, "--header %.*s: %s: %s",
                    (int)strcspn(line, ":"), line, value + 1,
                    errno != 0 ? strerror(errno) : "it should be one line");
    return NULL;
}

static int write_headers(struct mn_writer *writer, struct ctl *ctl)
{
    write_key(writer, "headers");
    mn_writer_str(writer, "{");
    for (int i = 0; i < ctl->values_count; i++) {
        const char *line = ctl->values[i].value, *value;
        if (strcmp(ctl->values[i].name, "--header") != 0) continue;
        value = header_value(ctl, line);
        if (value == NULL) return CTL_USAGE;
        write_member(writer, mn_span(line, strcspn(line, ":")), value);
    }
    mn_writer_str(writer, "}");
    return CTL_OK;
}

static void write_flag(struct mn_writer *writer, const char *key, const char *value)
{
    if (value == NULL) return;
    write_key(writer, key);
    mn_writer_str(writer, "true");
}

static int write_server(struct mn_writer *writer, struct ctl *ctl)
{
    mn_writer_str(writer, "{");
    json_write_string(writer, mn_span_str(ctl->args[0]));
    mn_writer_str(writer, ":{");
    write_text(writer, "url", ctl_value(ctl, "--url"));
    if (ctl->rest != NULL) write_command(writer, ctl->rest);
    if (ctl_value(ctl, "--env") != NULL) write_env(writer, ctl);
    if (ctl_value(ctl, "--header") != NULL && write_headers(writer, ctl) != CTL_OK)
        return CTL_USAGE;
    write_text(writer, "cwd", ctl_value(ctl, "--cwd"));
    write_text(writer, "era", ctl_value(ctl, "--era"));
    write_flag(writer, "replica", ctl_value(ctl, "--replica"));
    write_flag(writer, "uniform", ctl_value(ctl, "--uniform"));
    mn_writer_str(writer, "}}");
    return CTL_OK;
}

static bool is_header(const char *line)
{
    size_t name = strcspn(line, ":");
    return name > 0 && line[name] == ':' && line[name + 1 + strspn(line + name + 1, " ")] != '\0';
}

static int check_option(struct ctl *ctl, const struct ctl_value *option, bool has_url)
{
    bool is_env = strcmp(option->name, "--env") == 0;
    bool is_header_line = strcmp(option->name, "--header") == 0;

    if (is_env && (strchr(option->value, '=') == NULL || option->value[0] == '='))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl servers add NAME --env K=V -- ...",
                         "--env %s: not K=V", option->value);
    if (is_header_line && !is_header(option->value)) /* not shown: it may be a secret */
        return ctl_error(ctl, CTL_USAGE, "usage", HEADER_HINT, "--header: not NAME: VALUE");
    if (has_url && (is_env || strcmp(option->name, "--cwd") == 0))
        return ctl_error(ctl, CTL_USAGE, "usage", COMMAND_HINT, "%s is for commands, not for URLs",
                         option->name);
    if (!has_url && is_header_line)
        return ctl_error(ctl, CTL_USAGE, "usage", HEADER_HINT,
                         "--header is for URLs, not for commands");
    return CTL_OK;
}

static int check_server(struct ctl *ctl)
{
    bool has_command = ctl->rest != NULL && ctl->rest[0] != NULL;
    bool has_url = ctl_value(ctl, "--url") != NULL;
    int status = CTL_OK;

    if (has_command == has_url)
        return ctl_error(ctl, CTL_USAGE, "usage", COMMAND_HINT,
                         "give a command after `--`, or --url, not both");
    for (int i = 0; status == CTL_OK && i < ctl->values_count; i++)
        status = check_option(ctl, &ctl->values[i], has_url);
    if (!has_command) ctl->rest = NULL;
    return status;
}

int ctl_servers_add(struct ctl *ctl)
{
    struct mn_writer body = {0};
    const struct json *root;
    int status = check_server(ctl);

    if (status == CTL_OK) status = write_server(&body, ctl);
    if (status == CTL_OK) status = ctl_do(ctl, "POST", "/v1/servers", mn_buf_span(body.buf), &root);
    mn_writer_drop(&body);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "%s is attached; is it well? meshctl servers show %s",
                          ctl->args[0], ctl->args[0]);
}
