/* client, doctor: the first steps, and what to do when something is wrong. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

int ctl_client(struct ctl *ctl)
{
    const struct json *root;
    const char *client = ctl->args[0], *url;
    int status = ctl_get(ctl, "/v1/status", &root);
    struct mn_span http;

    if (status != CTL_OK) return status;
    http = ctl_string(root, "node.http");
    url = mn_arena_format(&ctl->arena, "http://%.*s/mcp", (int)http.size, (const char *)http.data);
    if (strcmp(client, "claude-code") == 0) {
        printf("claude mcp add --transport http meshnode %s\n", url);
    } else if (strcmp(client, "cursor") == 0) {
        fprintf(stderr, "into ~/.cursor/mcp.json:\n");
        printf("{\"mcpServers\": {\"meshnode\": {\"url\": \"%s\"}}}\n", url);
    } else if (strcmp(client, "vscode") == 0) {
        fprintf(stderr, "into .vscode/mcp.json:\n");
        printf("{\"servers\": {\"meshnode\": {\"type\": \"http\", \"url\": \"%s\"}}}\n", url);
    } else if (strcmp(client, "json") == 0) {
        printf("{\"mcpServers\": {\"meshnode\": {\"type\": \"http\", \"url\": \"%s\"}}}\n", url);
        fprintf(stderr,
                "for a client that only runs commands:\n"
                "{\"mcpServers\": {\"meshnode\": {\"command\": \"meshnode\", \"args\": "
                "[\"mcp\", \"--server\", \"%s\"]}}}\n",
                url);
    } else {
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl client json",
                         "no such client %s: claude-code, cursor, vscode or json", client);
    }
    return CTL_OK;
}

/* ---- doctor ---- */

struct doctor {
    int worst; /* 0 well, 1 warning, 2 critical */
};

static void say(struct doctor *doctor, int level, const char *what, const char *next)
{
    static const char *const marks[] = {"ok   ", "warn ", "BAD  "};

    printf("%s %s\n", marks[level], what);
    if (level > 0) printf("      next: %s\n", next);
    if (level > doctor->worst) doctor->worst = level;
}

static void look_at_socket(struct ctl *ctl, struct doctor *doctor)
{
    struct stat info;
    const char *path = ctl_socket_path(ctl);

    if (stat(path, &info) != 0)
        say(doctor, 2, mn_arena_format(&ctl->arena, "no admin socket at %s", path),
            "start the node, or name its directory: meshctl --data DIR doctor");
    else if ((info.st_mode & 0007) != 0)
        say(doctor, 1, mn_arena_format(&ctl->arena, "%s is open to everybody", path),
            "restart the node: it makes its socket 0600");
    else
        say(doctor, 0, mn_arena_format(&ctl->arena, "admin socket %s", path), "");
}

static void look_at_findings(struct ctl *ctl, struct doctor *doctor)
{
    const struct json *root, *findings;

    if (ctl_get(ctl, "/v1/status", &root) != CTL_OK) {
        say(doctor, 2, "the node does not answer", "see its log");
        return;
    }
    say(doctor, 0, "the node answers", "");
    findings = json_find_str(root, "findings");
    for (const struct json *item = json_first(findings); item != NULL;
         item = json_next(findings, item)) {
        struct mn_span text = ctl_string(item, "message"), next = ctl_string(item, "next");
        say(doctor, mn_span_is(ctl_string(item, "level"), "critical") ? 2 : 1,
            mn_arena_format(&ctl->arena, "%.*s", (int)text.size, (const char *)text.data),
            mn_arena_format(&ctl->arena, "%.*s", (int)next.size, (const char *)next.data));
    }
}

static void look_at_servers(struct ctl *ctl, struct doctor *doctor)
{
    const struct json *root, *items;

    if (ctl_get(ctl, "/v1/servers", &root) != CTL_OK) return;
    items = json_find_str(root, "items");
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        struct mn_span name = ctl_string(item, "name"), state = ctl_string(item, "state");
        struct mn_span error = ctl_string(item, "error");
        bool is_well = mn_span_is(state, "ready") || mn_span_is(state, "starting") ||
                       mn_span_is(state, "probing");
        say(doctor, is_well ? 0 : 1,
            mn_arena_format(&ctl->arena, "server %.*s is %.*s%s%.*s", (int)name.size,
                            (const char *)name.data, (int)state.size, (const char *)state.data,
                            error.size > 0 && !is_well ? ": " : "", is_well ? 0 : (int)error.size,
                            (const char *)error.data),
            mn_arena_format(&ctl->arena, "meshctl servers logs %.*s", (int)name.size,
                            (const char *)name.data));
    }
}

static void look_at_links(struct ctl *ctl, struct doctor *doctor)
{
    const struct json *root, *items;

    if (ctl_get(ctl, "/v1/nodes", &root) != CTL_OK) return;
    items = json_find_str(root, "items");
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        struct mn_span name = ctl_string(item, "name");
        long long difference = ctl_number(item, "link.clock_difference_ms");
        if (ctl_is_true(item, "self") || !mn_span_is(ctl_string(item, "status"), "alive")) continue;
        if (!json_is(ctl_find(item, "link"), JSON_OBJECT))
            say(doctor, 1,
                mn_arena_format(&ctl->arena, "no link to %.*s, which is alive", (int)name.size,
                                (const char *)name.data),
                "is a firewall between the two in the way of the mesh port?");
        else if (difference > 5000 || difference < -5000)
            say(doctor, 1,
                mn_arena_format(&ctl->arena, "the clock of %.*s differs by %lld ms", (int)name.size,
                                (const char *)name.data, difference),
                "run a time service such as chrony on both hosts");
        else
            say(doctor, 0,
                mn_arena_format(&ctl->arena, "link to %.*s", (int)name.size,
                                (const char *)name.data),
                "");
    }
}

int ctl_doctor(struct ctl *ctl)
{
    struct doctor doctor = {0};

    if (ctl->server == NULL) look_at_socket(ctl, &doctor);
    if (doctor.worst < 2) look_at_findings(ctl, &doctor);
    if (doctor.worst < 2) look_at_servers(ctl, &doctor);
    if (doctor.worst < 2) look_at_links(ctl, &doctor);
    return doctor.worst == 2 ? CTL_FAILED : CTL_OK;
}
