/* servers, token, events: what runs on this node, and who may join. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column server_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},      {"KIND", "kind", CTL_AS_TEXT, false},
    {"STATE", "state", CTL_AS_TEXT, false},    {"ERA", "era", CTL_AS_TEXT, false},
    {"TOOLS", "tools", CTL_AS_TEXT, false},    {"IN-FLIGHT", "in_flight", CTL_AS_TEXT, false},
    {"CALLS", "calls", CTL_AS_TEXT, false},    {"STARTS", "starts", CTL_AS_TEXT, false},
    {"SINCE", "since_ms", CTL_AS_AGE, false},  {"TARGET", "target", CTL_AS_TEXT, true},
    {"VERSION", "version", CTL_AS_TEXT, true}, {"ERROR", "error", CTL_AS_TEXT, false},
};

static int servers_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/servers", &root);

    if (status == CTL_OK) ctl_print_list(ctl, root, server_columns, COUNT(server_columns));
    return status;
}

int ctl_servers(struct ctl *ctl)
{
    return ctl_watch(ctl, servers_once);
}

int ctl_servers_show(struct ctl *ctl)
{
    const struct json *root, *items;
    int status = ctl_get(ctl, "/v1/servers", &root);

    if (status != CTL_OK) return status;
    items = json_find_str(root, "items");
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        char cell[512];
        if (!mn_span_is(ctl_string(item, "name"), ctl->args[0])) continue;
        if (ctl->format == CTL_JSON)
            ctl_print_json(item);
        else
            for (size_t i = 0; i < COUNT(server_columns); i++)
                printf("%-10s %s\n", server_columns[i].title,
                       ctl_text(item, &server_columns[i], cell, sizeof cell));
        return CTL_OK;
    }
    return ctl_error(ctl, CTL_NOT_FOUND, "not_found", "meshctl servers",
                     "no server %s on this node", ctl->args[0]);
}

static void write_member(struct mn_writer *writer, const char *key, const char *text)
{
    mn_writer_format(writer,
                     "%s\"%s\":", writer->buf->bytes[writer->buf->size - 1] == '{' ? "" : ",", key);
    json_write_string(writer, mn_span_str(text));
}

static void write_env(struct ctl *ctl, struct mn_writer *writer)
{
    bool is_first = true;

    mn_writer_str(writer, ",\"env\":{");
    for (int i = 0; i < ctl->values_count; i++) {
        const char *pair = ctl->values[i].value, *equals = strchr(pair, '=');
        if (strcmp(ctl->values[i].name, "--env") != 0 || equals == NULL) continue;
        if (!is_first) mn_writer_str(writer, ",");
        json_write_string(writer, mn_span(pair, (size_t)(equals - pair)));
        mn_writer_str(writer, ":");
        json_write_string(writer, mn_span_str(equals + 1));
        is_first = false;
    }
    mn_writer_str(writer, "}");
}

static struct mn_buf *server_json(struct ctl *ctl)
{
    struct mn_writer writer = {0};
    const char *url = ctl_value(ctl, "--url"), *cwd = ctl_value(ctl, "--cwd");

    mn_writer_str(&writer, "{");
    json_write_string(&writer, mn_span_str(ctl->args[0]));
    mn_writer_str(&writer, ":{");
    if (url != NULL) write_member(&writer, "url", url);
    if (ctl->rest != NULL && ctl->rest[0] != NULL) {
        write_member(&writer, "command", ctl->rest[0]);
        mn_writer_str(&writer, ",\"args\":[");
        for (char **arg = ctl->rest + 1; *arg != NULL; arg++) {
            if (arg != ctl->rest + 1) mn_writer_str(&writer, ",");
            json_write_string(&writer, mn_span_str(*arg));
        }
        mn_writer_str(&writer, "]");
        write_env(ctl, &writer);
    }
    if (cwd != NULL) write_member(&writer, "cwd", cwd);
    if (ctl_value(ctl, "--era") != NULL) write_member(&writer, "era", ctl_value(ctl, "--era"));
    if (ctl_value(ctl, "--replica") != NULL) mn_writer_str(&writer, ",\"replica\":true");
    mn_writer_str(&writer, "}}");
    return mn_writer_done(&writer);
}

static int say_done(struct ctl *ctl, const char *what)
{
    if (!ctl->is_quiet) fprintf(stderr, "%s %s\n", ctl->args[0], what);
    return CTL_OK;
}

int ctl_servers_add(struct ctl *ctl)
{
    bool has_command = ctl->rest != NULL && ctl->rest[0] != NULL;
    const struct json *root;
    struct mn_buf *body;
    int status;

    if (has_command == (ctl_value(ctl, "--url") != NULL))
        return ctl_error(ctl, CTL_USAGE, "usage",
                         "meshctl servers add files -- npx -y "
                         "@modelcontextprotocol/server-filesystem /srv",
                         "give a command after `--`, or --url, not both");
    body = server_json(ctl);
    status = ctl_do(ctl, "POST", "/v1/servers", mn_buf_span(body), &root);
    mn_buf_unref(body);
    return status == CTL_OK ? say_done(ctl, "is attached; see `meshctl servers`") : status;
}

int ctl_servers_rm(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_do(ctl, "DELETE", mn_arena_format(&ctl->arena, "/v1/servers/%s", ctl->args[0]),
                        mn_span(NULL, 0), &root);
    return status == CTL_OK ? say_done(ctl, "is detached") : status;
}

int ctl_servers_restart(struct ctl *ctl)
{
    const struct json *root;
    int status =
        ctl_do(ctl, "POST", mn_arena_format(&ctl->arena, "/v1/servers/%s/restart", ctl->args[0]),
               mn_span(NULL, 0), &root);
    return status == CTL_OK ? say_done(ctl, "restarts") : status;
}

/* ---- streams: one JSON object per line ---- */

struct lines {
    struct mn_writer line;
    void (*print)(struct ctl *ctl, const struct json *line);
    struct mn_writer refusal; /* the whole, in case it is an error */
};

static bool lines_on_bytes(struct ctl *ctl, struct mn_span bytes, void *context)
{
    struct lines *lines = context;

    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] != '\n') {
            mn_writer_add(&lines->line, mn_span(&bytes.data[i], 1));
            continue;
        }
        struct mn_buf *line = mn_writer_done(&lines->line);
        const struct json *root = ctl_parse_json(ctl, mn_buf_span(line));
        if (root != NULL && json_find_str(root, "error") != NULL)
            mn_writer_add(&lines->refusal, mn_buf_span(line));
        else if (ctl->format == CTL_JSON || ctl->format == CTL_JSONL)
            fwrite(line->bytes, 1, line->size, stdout), putchar('\n');
        else if (root != NULL)
            lines->print(ctl, root);
        mn_buf_unref(line);
    }
    fflush(stdout);
    return !ferror(stdout);
}

static int lines_follow(struct ctl *ctl, const char *path,
                        void (*print)(struct ctl *ctl, const struct json *line))
{
    struct lines lines = {.print = print};
    const struct ctl_request request = {
        .method = "GET",
        .path = mn_arena_format(&ctl->arena, "%s?follow=%d", path, ctl->is_following ? 1 : 0),
        .on_bytes = lines_on_bytes,
        .context = &lines};
    struct ctl_answer answer;
    int status = ctl_http(ctl, &request, &answer);

    if (status == CTL_OK) mn_buf_unref(answer.body);
    if (status == CTL_OK && answer.status >= 400)
        status = ctl_error(ctl, answer.status == 404 ? CTL_NOT_FOUND : CTL_DENIED, "refused",
                           "meshctl servers", "the node refused (%ld)", answer.status);
    mn_writer_drop(&lines.line);
    mn_writer_drop(&lines.refusal);
    return status;
}

static void print_log_line(struct ctl *ctl, const struct json *line)
{
    struct mn_span text = ctl_string(line, "text"), time = ctl_string(line, "time");

    (void)ctl;
    printf("%.*s %.*s\n", (int)time.size, (const char *)time.data, (int)text.size,
           (const char *)text.data);
}

int ctl_servers_logs(struct ctl *ctl)
{
    return lines_follow(ctl, mn_arena_format(&ctl->arena, "/v1/servers/%s/logs", ctl->args[0]),
                        print_log_line);
}

static void print_event(struct ctl *ctl, const struct json *event)
{
    struct mn_span time = ctl_string(event, "time"), name = ctl_string(event, "event");

    (void)ctl;
    printf("%.*s %-24.*s", (int)time.size, (const char *)time.data, (int)name.size,
           (const char *)name.data);
    for (const struct json *key = json_first(event); key != NULL; key = json_next(event, key)) {
        const struct json *value = json_value(key);
        struct mn_span text = value->type == JSON_STRING ? value->text : value->raw;
        if (mn_span_is(key->text, "time") || mn_span_is(key->text, "event")) continue;
        printf(" %.*s=%.*s", (int)key->text.size, (const char *)key->text.data,
               mn_span_is(key->text, "id") ? 8 : (int)text.size, (const char *)text.data);
    }
    putchar('\n');
}

int ctl_events(struct ctl *ctl)
{
    return lines_follow(ctl, "/v1/events", print_event);
}

/* ---- tokens ---- */

static const struct ctl_column token_columns[] = {
    {"ID", "id", CTL_AS_TEXT, false},           {"ROLE", "role", CTL_AS_TEXT, false},
    {"USES", "uses", CTL_AS_TEXT, false},       {"USED", "used", CTL_AS_TEXT, false},
    {"EXPIRES", "expires", CTL_AS_TEXT, false}, {"WITHDRAWN", "withdrawn", CTL_AS_BOOL, false},
};

int ctl_token_ls(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/tokens", &root);

    if (status == CTL_OK) ctl_print_list(ctl, root, token_columns, COUNT(token_columns));
    return status;
}

int ctl_token_create(struct ctl *ctl)
{
    const char *uses = ctl_value(ctl, "--uses"), *ttl = ctl_value(ctl, "--ttl");
    const char *role = ctl_value(ctl, "--role");
    struct mn_writer writer = {0};
    const struct json *root;
    uint64_t ttl_ms = 3600000;
    struct mn_buf *body;
    int status;

    if (ttl != NULL && !ctl_parse_duration(ttl, &ttl_ms))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl token create --ttl 2h",
                         "--ttl %s is not a time", ttl);
    mn_writer_format(&writer, "{\"ttl_ms\":%llu,\"uses\":%lld", (unsigned long long)ttl_ms,
                     uses == NULL ? 1LL : atoll(uses));
    if (role != NULL) write_member(&writer, "role", role);
    mn_writer_str(&writer, "}");
    body = mn_writer_done(&writer);
    status = ctl_do(ctl, "POST", "/v1/tokens", mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    if (ctl->format == CTL_JSON || ctl->format == CTL_JSONL) {
        ctl_print_json(root);
    } else {
        struct mn_span token = ctl_string(root, "token"), expires = ctl_string(root, "expires");
        printf("%.*s\n", (int)token.size, (const char *)token.data);
        if (!ctl->is_quiet)
            fprintf(stderr,
                    "good for %lld node(s) until %.*s; keep it secret, it is not shown again.\n"
                    "On the new host, with the token in a file: meshnode --join HOST:7000 "
                    "--token @FILE\n",
                    ctl_number(root, "uses"), (int)expires.size, (const char *)expires.data);
    }
    return CTL_OK;
}

int ctl_token_revoke(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_do(ctl, "DELETE", mn_arena_format(&ctl->arena, "/v1/tokens/%s", ctl->args[0]),
                        mn_span(NULL, 0), &root);
    return status == CTL_OK ? say_done(ctl, "is withdrawn") : status;
}
