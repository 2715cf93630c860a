/* status, nodes, route: the mesh as this node sees it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column node_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},
    {"ID", "id", CTL_AS_ID, false},
    {"STATUS", "status", CTL_AS_TEXT, false},
    {"ROLE", "role", CTL_AS_TEXT, false},
    {"REGION", "region", CTL_AS_TEXT, false},
    {"LINK", "link.address", CTL_AS_TEXT, false},
    {"RTT", "link.rtt_ms", CTL_AS_MS, false},
    {"TOOLS", "tools", CTL_AS_TEXT, false},
    {"VERSION", "version", CTL_AS_TEXT, false},
    {"UPTIME", "since_ms", CTL_AS_AGE, false},
    {"INCARNATION", "incarnation", CTL_AS_TEXT, true},
    {"QUEUED", "link.queued_bytes", CTL_AS_TEXT, true},
};

static int nodes_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/nodes", &root);

    if (status == CTL_OK) ctl_print_list(ctl, root, node_columns, COUNT(node_columns));
    return status;
}

int ctl_nodes(struct ctl *ctl)
{
    return ctl_watch(ctl, nodes_once);
}

static bool node_matches(const struct json *node, const char *name)
{
    struct mn_span id = ctl_string(node, "id");

    return mn_span_is(ctl_string(node, "name"), name) ||
           (strlen(name) >= 4 && id.size >= strlen(name) &&
            memcmp(id.data, name, strlen(name)) == 0);
}

static void print_members(const struct json *object, int indent)
{
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key)) {
        const struct json *value = json_value(key);
        if (value->type == JSON_OBJECT) {
            printf("%*s%.*s:\n", indent, "", (int)key->text.size, (const char *)key->text.data);
            print_members(value, indent + 2);
            continue;
        }
        struct mn_span text = value->type == JSON_STRING ? value->text : value->raw;
        printf("%*s%.*s: %.*s\n", indent, "", (int)key->text.size, (const char *)key->text.data,
               (int)text.size, (const char *)text.data);
    }
}

int ctl_nodes_show(struct ctl *ctl)
{
    const struct json *root, *items, *found = NULL;
    int status = ctl_get(ctl, "/v1/nodes", &root), count = 0;

    if (status != CTL_OK) return status;
    items = json_find_str(root, "items");
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        if (!node_matches(item, ctl->args[0])) continue;
        found = item;
        count++;
    }
    if (found == NULL)
        return ctl_error(ctl, CTL_NOT_FOUND, "not_found", "meshctl nodes", "no node is called %s",
                         ctl->args[0]);
    if (count > 1)
        return ctl_error(ctl, CTL_CONFLICT, "ambiguous", "meshctl nodes -o wide",
                         "%d nodes match %s: give more of the id", count, ctl->args[0]);
    if (ctl->format == CTL_JSON || ctl->format == CTL_JSONL)
        ctl_print_json(found);
    else
        print_members(found, 0);
    return CTL_OK;
}

/* ---- waiting ---- */

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool mesh_is_there(struct ctl *ctl, long long count, bool must_be_ready, long long *alive)
{
    const struct ctl_request request = {.method = "GET", .path = "/v1/status"};
    struct ctl_answer answer;
    enum ctl_format format = ctl->format;
    const struct json *root;
    bool is_there = false;

    if (access(ctl_socket_path(ctl), F_OK) != 0 && ctl->server == NULL) return false;
    if (ctl_http(ctl, &request, &answer) != CTL_OK) return false;
    root = ctl_parse_json(ctl, mn_buf_span(answer.body));
    mn_buf_unref(answer.body);
    ctl->format = format;
    *alive = ctl_number(root, "mesh.alive");
    is_there = *alive >= count && (!must_be_ready || ctl_is_true(root, "node.ready"));
    mn_arena_reset(&ctl->arena);
    return is_there;
}

int ctl_nodes_wait(struct ctl *ctl)
{
    const char *count_text = ctl_value(ctl, "--count");
    long long count = count_text == NULL ? 1 : atoll(count_text), alive = 0;
    uint64_t begin = monotonic_ms(), limit = ctl->timeout_ms;

    if (count < 1)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl nodes wait --count 3",
                         "--count is a number from 1 on");
    ctl->timeout_ms = 5000;
    while (!mesh_is_there(ctl, count, ctl_value(ctl, "--ready") != NULL, &alive)) {
        if (limit != 0 && monotonic_ms() - begin >= limit)
            return ctl_error(ctl, CTL_TIMEOUT, "timeout", "meshctl nodes; meshctl events",
                             "%lld of %lld members are alive after %llu ms", alive, count,
                             (unsigned long long)(monotonic_ms() - begin));
        usleep(50000);
    }
    if (!ctl->is_quiet)
        fprintf(stderr, "%lld members are alive (waited %llu ms)\n", alive,
                (unsigned long long)(monotonic_ms() - begin));
    return CTL_OK;
}

/* ---- status ---- */

static void print_findings(const struct json *root)
{
    const struct json *findings = json_find_str(root, "findings");

    if (!json_is(findings, JSON_ARRAY)) return;
    for (const struct json *item = json_first(findings); item != NULL;
         item = json_next(findings, item)) {
        struct mn_span level = ctl_string(item, "level"), text = ctl_string(item, "message");
        struct mn_span next = ctl_string(item, "next");
        printf("%-9.*s %.*s\n          next: %.*s\n", (int)level.size, (const char *)level.data,
               (int)text.size, (const char *)text.data, (int)next.size, (const char *)next.data);
    }
}

static void print_pair(const char *label, const struct json *root, const char *path,
                       const char *after)
{
    char cell[256];
    const struct ctl_column column = {label, path, CTL_AS_TEXT, false};
    printf("%s %s%s", label, ctl_text(root, &column, cell, sizeof cell), after);
}

static int status_once(struct ctl *ctl)
{
    const struct json *root;
    struct mn_span http;
    char uptime[64];
    const struct ctl_column age = {"", "node.uptime_ms", CTL_AS_AGE, false};
    int status = ctl_get(ctl, "/v1/status", &root);

    if (status != CTL_OK) return status;
    if (ctl->format == CTL_JSON || ctl->format == CTL_JSONL) {
        ctl_print_json(root);
        return CTL_OK;
    }
    print_pair("node     ", root, "node.name", "");
    print_pair(" ", root, "node.id", "");
    printf("  %s, up %s", ctl_is_true(root, "node.ready") ? "ready" : "not ready",
           ctl_text(root, &age, uptime, sizeof uptime));
    print_pair(", state", root, "node.state", "\n");
    print_pair("mesh     ", root, "mesh.id", ctl_is_true(root, "mesh.dev") ? " (dev)\n" : "\n");
    print_pair("members  ", root, "mesh.alive", " alive");
    print_pair(",", root, "mesh.suspect", " suspect");
    print_pair(",", root, "mesh.dead", " dead");
    print_pair(",", root, "mesh.links", " links\n");
    print_pair("tools    ", root, "tools", "\n");
    print_pair("calls    ", root, "calls.finished", " finished");
    print_pair(",", root, "calls.failed", " failed");
    print_pair(",", root, "calls.open", " open");
    print_pair(",", root, "calls.failed_over", " failed over\n");
    print_pair("grant    ", root, "mesh.grant_expires", "\n");
    http = ctl_string(root, "node.http");
    printf("clients   connect to http://%.*s/mcp\n", (int)http.size, (const char *)http.data);
    print_findings(root);
    return CTL_OK;
}

int ctl_status(struct ctl *ctl)
{
    return ctl_watch(ctl, status_once);
}

int ctl_check(struct ctl *ctl)
{
    const struct json *root, *findings;
    int status = ctl_get(ctl, "/v1/check", &root), worst = 0;

    if (strcmp(ctl->args[0], "node") != 0 && strcmp(ctl->args[0], "mesh") != 0)
        return ctl_error(ctl, 3, "usage", "meshctl check mesh", "check what? node or mesh");
    if (status != CTL_OK) return status == CTL_UNREACHABLE ? 2 : 3;
    findings = json_find_str(root, "findings");
    for (const struct json *item = json_first(findings); item != NULL;
         item = json_next(findings, item)) {
        int level = mn_span_is(ctl_string(item, "level"), "critical") ? 2 : 1;
        worst = level > worst ? level : worst;
    }
    if (ctl->format == CTL_JSON)
        ctl_print_json(root);
    else
        printf("%s\n", worst == 0 ? "OK" : worst == 1 ? "WARNING" : "CRITICAL");
    if (ctl->format != CTL_JSON) print_findings(root);
    return worst;
}

/* ---- route ---- */

static const struct ctl_column route_columns[] = {
    {"NODE", "node", CTL_AS_TEXT, false},
    {"WINNER", "winner", CTL_AS_BOOL, false},
    {"REASON", "reason", CTL_AS_TEXT, false},
    {"SCORE", "score", CTL_AS_TEXT, false},
    {"LATENCY", "latency_ms", CTL_AS_MS, false},
    {"RTT", "rtt_ms", CTL_AS_MS, false},
    {"IN-FLIGHT", "in_flight", CTL_AS_TEXT, false},
    {"LOAD", "load", CTL_AS_TEXT, false},
    {"CALLS", "calls", CTL_AS_TEXT, false},
    {"FAILURES", "failures", CTL_AS_TEXT, false},
    {"OPEN-FOR", "breaker_open_ms", CTL_AS_MS, true},
    {"LOCAL", "local", CTL_AS_BOOL, true},
};

int ctl_route(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, mn_arena_format(&ctl->arena, "/v1/route/%s", ctl->args[0]), &root);

    if (status != CTL_OK) return status;
    ctl_print_list(ctl, root, route_columns, COUNT(route_columns));
    if ((ctl->format == CTL_TABLE || ctl->format == CTL_WIDE) && !ctl->is_quiet) {
        struct mn_span server = ctl_string(root, "server");
        printf("%s is a tool of server %.*s; a local replica wins, else the lower score of two "
               "drawn at random\n",
               ctl->args[0], (int)server.size, (const char *)server.data);
    }
    return CTL_OK;
}

int ctl_version(struct ctl *ctl)
{
    const struct json *root;

    printf("meshctl (meshnode) %s\n", MN_VERSION);
    if (access(ctl_socket_path(ctl), F_OK) != 0 && ctl->server == NULL) return CTL_OK;
    if (ctl_get(ctl, "/v1/version", &root) == CTL_OK) {
        struct mn_span version = ctl_string(root, "node");
        printf("node %.*s\n", (int)version.size, (const char *)version.data);
    }
    return CTL_OK;
}
