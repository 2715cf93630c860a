/* tools, route: what the mesh offers, and who would serve it. */
#include <string.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct ctl_column tool_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},
    {"SERVER", "server", CTL_AS_TEXT, false},
    {"NODES", "nodes", CTL_AS_TEXT, false},
    {"HEALTH", "health", CTL_AS_STATE, false},
    {"CALLS/M", "calls_per_minute", CTL_AS_TEXT, false},
    {"P95", "p95_ms", CTL_AS_MS, false},
    {"NEEDS", "needs", CTL_AS_TEXT, true},
    {"DESCRIPTION", "definition.description", CTL_AS_TEXT, true},
};

static int tools_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/tools", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, tool_columns, COUNT(tool_columns)) : status;
}

int ctl_tools(struct ctl *ctl)
{
    return ctl_watch(ctl, tools_once);
}

static const struct ctl_column found_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},
    {"SERVER", "server", CTL_AS_TEXT, false},
    {"DESCRIPTION", "definition.description", CTL_AS_TEXT, false},
};

static int find_once(struct ctl *ctl)
{
    const struct json *root, *items;
    int status = ctl_get(ctl, ctl_path(ctl, "/v1/tools?find=", ctl->args[0], ""), &root);

    if (status != CTL_OK) return status;
    items = json_find_str(root, "items");
    if (json_is(items, JSON_ARRAY) && items->count == 0)
        return ctl_error(ctl, CTL_NOT_FOUND, "not_found", "meshctl tools",
                         "no tool has %s in its name or description", ctl->args[0]);
    return ctl_print_list(ctl, root, found_columns, COUNT(found_columns));
}

int ctl_tools_find(struct ctl *ctl)
{
    return ctl_watch(ctl, find_once);
}

/* ---- one tool ---- */

static void print_arguments(struct ctl *ctl, const struct json *schema)
{
    const struct json *properties = json_find_str(schema, "properties");
    const struct json *required = json_find_str(schema, "required");

    if (!json_is(properties, JSON_OBJECT) || properties->count == 0) return;
    fprintf(ctl->out, "\narguments:\n");
    for (const struct json *key = json_first(properties); key != NULL;
         key = json_next(properties, key)) {
        bool is_required = false;
        for (const struct json *name = json_is(required, JSON_ARRAY) ? json_first(required) : NULL;
             name != NULL; name = json_next(required, name))
            is_required = is_required || mn_span_equal(json_text(name), key->text);
        fprintf(ctl->out, "  %-20s %-8s %s%s\n", ctl_show_span(ctl, key->text),
                ctl_show(ctl, json_value(key), "type"), is_required ? "" : "(optional) ",
                ctl_show(ctl, json_value(key), "description"));
    }
}

int ctl_tools_show(struct ctl *ctl)
{
    const struct json *tool;
    int status = ctl_get(ctl, ctl_path(ctl, "/v1/tools/", ctl->args[0], ""), &tool);
    const char *health;

    if (status != CTL_OK) return status;
    if (ctl_wants_json(ctl)) return ctl_print_object(ctl, tool);
    health = ctl_show(ctl, tool, ctl_string(tool, "held").size > 0 ? "held" : "health");
    fprintf(ctl->out, "%s: tool %s of server %s, on %.0f node(s), %s%s%s\n",
            ctl_show(ctl, tool, "name"), ctl_show(ctl, tool, "tool"), ctl_show(ctl, tool, "server"),
            ctl_number(tool, "nodes"), ctl_colour(ctl, health), health, ctl_colour_end(ctl));
    if (ctl_string(tool, "needs").size > 0)
        fprintf(ctl->out, "needs: %s (of the client; others are not shown it)\n",
                ctl_show(ctl, tool, "needs"));
    fprintf(ctl->out, "%s\n", ctl_show(ctl, tool, "definition.description"));
    print_arguments(ctl, ctl_find(tool, "definition.inputSchema"));
    if (ctl->format == CTL_WIDE) {
        putc('\n', ctl->out);
        ctl_print_json(ctl, ctl_find(tool, "definition"));
    }
    return CTL_OK;
}

/* ---- route ---- */

static const struct ctl_column route_columns[] = {
    {"NODE", "node", CTL_AS_TEXT, false},
    {"TAKES-IT", "winner", CTL_AS_BOOL, false},
    {"REASON", "reason", CTL_AS_STATE, false},
    {"SCORE", "score", CTL_AS_TEXT, false},
    {"LATENCY", "latency_ms", CTL_AS_MS, false},
    {"RTT", "rtt_ms", CTL_AS_MS, false},
    {"IN-FLIGHT", "in_flight", CTL_AS_TEXT, false},
    {"LOAD", "load", CTL_AS_TEXT, false},
    {"CALLS", "calls", CTL_AS_TEXT, false},
    {"FAILURES", "failures", CTL_AS_TEXT, false},
    {"LOCAL", "local", CTL_AS_BOOL, true},
    {"HOT", "hot", CTL_AS_BOOL, true},
    {"OPEN-FOR", "breaker_open_ms", CTL_AS_MS, true},
    {"BY-LATENCY", "score_latency", CTL_AS_TEXT, true},
    {"BY-LOAD", "score_load", CTL_AS_TEXT, true},
    {"BY-FAILURES", "score_availability", CTL_AS_TEXT, true},
};

/* Why operators let nobody call it; NULL: they do. */
static const char *held_words(struct mn_span held)
{
    if (mn_span_is(held, "quarantined")) return "it is in quarantine";
    if (mn_span_is(held, "changed")) return "its definition is not the one that was approved";
    return NULL;
}

/* Why it is not taken, where that is the reason. */
static const char *reason_words(struct mn_span reason)
{
    if (mn_span_is(reason, "no_link")) return "there is no link to it";
    if (mn_span_is(reason, "suspect")) return "it does not answer probes";
    if (mn_span_is(reason, "breaker_open"))
        return "too many of its calls failed; it is tried again soon";
    if (mn_span_is(reason, "busy")) return "it has as many calls of ours as it may";
    return NULL;
}

static void explain_winner(struct ctl *ctl, const struct json *winner, uint32_t others)
{
    const char *node = ctl_show(ctl, winner, "node");

    if (ctl_is_true(winner, "local"))
        fprintf(ctl->out, "%s takes it: it is this node, and a local replica always wins\n", node);
    else if (others == 0)
        fprintf(ctl->out, "%s takes it: nobody else can\n", node);
    else
        fprintf(ctl->out,
                "%s scores best (lower is better); each call compares two nodes drawn at random, "
                "so others are taken too\n",
                node);
}

static void explain(struct ctl *ctl, const struct json *root)
{
    const struct json *items = json_find_str(root, "items"), *winner = NULL;
    const char *held = held_words(ctl_string(root, "held"));
    uint32_t able = 0;

    fprintf(ctl->out, "\n%s is a tool of server %s\n", ctl_show(ctl, root, "tool"),
            ctl_show(ctl, root, "server"));
    if (held != NULL) {
        fprintf(ctl->out, "no call of it is taken: %s. Look at it: meshctl tools pins\n", held);
        return;
    }
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        const char *why = reason_words(ctl_string(item, "reason"));
        if (ctl_is_true(item, "winner")) winner = item;
        if (why == NULL)
            able++;
        else
            fprintf(ctl->out, "%s is left out: %s\n", ctl_show(ctl, item, "node"), why);
    }
    if (winner != NULL)
        explain_winner(ctl, winner, able - 1);
    else
        fprintf(ctl->out, "nobody can take a call now\n");
}

static int route_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, ctl_path(ctl, "/v1/route/", ctl->args[0], ""), &root);

    if (status != CTL_OK) return status;
    status = ctl_print_list(ctl, root, route_columns, COUNT(route_columns));
    if (status == CTL_OK && ctl->format <= CTL_WIDE && !ctl->is_quiet) explain(ctl, root);
    return status;
}

int ctl_route(struct ctl *ctl)
{
    return ctl_watch(ctl, route_once);
}
